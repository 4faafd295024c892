"""What a store shows after some of its calls failed: is it admissible, and if not, what kind of wrong is it?

Under `io_error` a failed call surfaces as an exception, or the operation returns and is owed; nothing acknowledged
is lost. So an operation that raised may have happened or not, and all others must be there.

What is owed once an error has surfaced depends on what the contract promises about crashes: a store that promises
only what was synced, or some prefix, may keep the rest in memory, and an error is where it may lose it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from harness.core.contract import Contract
from harness.core.models import KEY_VALUE, SequentialModel
from harness.core.operations import Delete, Sync, describe
from harness.judge.choices import Account, Answer, Relapse, explain
from harness.judge.classify import Violation, classify
from harness.judge.oracle import Oracle, Window

#: Kinds of findings that failing calls can show, the first that applies counts.
ORDER = (
    *("hang", "deadlock", "cannot_open", "undeclared_error", "not_idempotent", "not_writable"),
    *("torn_operation", "phantom", "swallowed_error", "lost_acknowledged"),
)


def worse(first: Violation | None, second: Violation | None) -> Violation | None:
    """The one whose kind comes first."""
    found = [violation for violation in (first, second) if violation is not None]
    return min(found, key=lambda violation: ORDER.index(violation.kind), default=None)


@dataclass(slots=True)
class Ledger:
    """What a client writes down while calls fail.

    A handle that reported an error (`sick`) may lose what was not promised to be kept until it is closed. `swallowed`
    are the operations that returned although a call failed in them; `hidden` tells that an opening, a reading or a
    closing did.
    """

    promise: str
    operations: list[Any] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    swallowed: set[int] = field(default_factory=set)
    relapses: list[Relapse] = field(default_factory=list)
    hidden: bool = False
    synced: int = 0
    sick: bool = False

    def add(self, operation: Any, *, raised: bool, struck: bool) -> None:
        """`operation` was issued; whether it raised, and whether a call failed in it."""
        self.operations.append(operation)
        if raised:
            self.failed.add(len(self.operations) - 1)
            self.surfaced()
            return
        if struck:
            self.swallowed.add(len(self.operations) - 1)
        self.note_sync(len(self.operations) - 1)

    def note_sync(self, index: int) -> None:
        """The operation was acknowledged: if it is a durability point, all up to it is synced."""
        if isinstance(self.operations[index], Sync):
            self.synced = index + 1

    def surfaced(self) -> None:
        """An error came out of the store: what it had not promised to keep may be gone."""
        self.sick = True
        self._relapse()

    def closed(self) -> None:
        """The handle is no more."""
        if self.sick:
            self._relapse()
        self.sick = False

    def copy(self) -> Ledger:
        """The same as it stands now."""
        return dataclasses.replace(
            self,
            operations=list(self.operations),
            failed=set(self.failed),
            swallowed=set(self.swallowed),
            relapses=list(self.relapses),
        )

    def after(self, operations: tuple[Any, ...], failed: frozenset[int]) -> Ledger:
        """The same with `operations` before it, of which those with the numbers `failed` may have happened or not."""
        count = len(operations)
        return dataclasses.replace(
            self,
            operations=[*operations, *self.operations],
            failed={*failed, *(count + index for index in self.failed)},
            swallowed={count + index for index in self.swallowed},
            relapses=[Relapse(count + item.at, count + item.floor) for item in self.relapses],
            synced=count + self.synced,
        )

    def _relapse(self) -> None:
        if self.promise != "acknowledged":
            floor = self.synced if self.promise == "synced" else 0
            self.relapses.append(Relapse(len(self.operations), floor))

    def account(self) -> Account:
        return Account(tuple(self.operations), frozenset(self.failed), tuple(dict.fromkeys(self.relapses)))


def promise_without_crash(contract: Contract) -> str:
    """What is owed after an error surfaced: the stronger of the promises about crashes."""
    promises = (contract.process_crash, contract.power_loss)
    return next((promise for promise in ("acknowledged", "synced") if promise in promises), "prefix")


def judge_shown(model: SequentialModel, ledger: Ledger, shown: Any, answer: Answer | None = None) -> Violation | None:
    """The broken promise that the state `shown` is, or `None`; also where that can't be decided.

    `answer` is whether it can be explained, where that is known already.
    """
    account = ledger.account()
    if (answer or explain(model, account, shown)) is not Answer.NO:
        return None
    everything = range(len(account.operations))
    if explain(model, account.forgiving(everything), shown) is Answer.NO:
        return classify(_plain_oracle(model, account), shown, Window(0, len(account.operations)))
    return _missing(model, ledger, account, shown)


def _plain_oracle(model: SequentialModel, account: Account) -> Oracle:
    return Oracle(model, account.operations, account.failed)


def _missing(model: SequentialModel, ledger: Ledger, account: Account, shown: Any) -> Violation:
    """Whole operations are missing, and nothing else is wrong."""
    kept = [index for index, item in enumerate(account.operations) if isinstance(item, Delete)]
    others = set(range(len(account.operations))) - set(kept)
    if model is KEY_VALUE and explain(model, account.forgiving(others), shown) is Answer.NO:
        return Violation("phantom", "something that was deleted is back")
    names = _without(model, account, shown)
    if ledger.swallowed and explain(model, account.forgiving(ledger.swallowed), shown) is not Answer.NO:
        return Violation(
            "swallowed_error", f"a call failed, {names} returned as if it had not, and is gone", tuple(ledger.swallowed)
        )
    if ledger.hidden:
        return Violation("swallowed_error", f"a call failed, the store went on as if it had not, and {names} is gone")
    return Violation("lost_acknowledged", f"{names} was acknowledged and is gone")


def _without(model: SequentialModel, account: Account, shown: Any) -> str:
    """The operations that must be missing, in words."""
    owed = [index for index in range(len(account.operations)) if index not in account.failed]
    for index in reversed(owed):  # mostly it is one, and mostly a late one
        if explain(model, account.forgiving((index,)), shown) is Answer.YES:
            return describe(account.operations[index])
    return "more than one operation"
