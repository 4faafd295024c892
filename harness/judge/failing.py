"""What a store shows after some of its calls failed: is it admissible, and if not, what kind of wrong is it?

Under `io_error` a failed call surfaces as an exception, or the operation returns and is owed; nothing acknowledged
is lost. So an operation that raised may have happened or not, and all others must be there.

What is owed once an error has surfaced depends on what the contract promises about crashes: a store that promises
only what was synced, or some prefix, may keep the rest in memory, and an error is where it may lose it.

Nobody may read what is taken back without a crash (an aborted read, G1a of Adya, Liskov and O'Neil, ICDE 2000): once
the store has shown that a failed operation happened it stays there. Once it has shown that it did not, and has
acknowledged another change since, it does not turn up any more. A store that only refuses since then may leave that to
the next opening.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from harness.core.contract import Contract
from harness.core.models import KEY_VALUE, SequentialModel
from harness.core.operations import READS, Compact, Delete, Sync, describe
from harness.judge.choices import Account, Answer, Relapse, explain, of_key
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
    closing did. `outcomes` tells which failed operations the store has shown to have happened, or not; of the latter
    `open_still` are those after which it has acknowledged no change.
    """

    promise: str
    operations: list[Any] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    swallowed: set[int] = field(default_factory=set)
    relapses: list[Relapse] = field(default_factory=list)
    outcomes: dict[int, bool] = field(default_factory=dict)
    open_still: set[int] = field(default_factory=set)
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
        if not isinstance(operation, (*READS, Sync, Compact)):
            self._went_on()
        self.note_sync(len(self.operations) - 1)

    def note_sync(self, index: int) -> None:
        """The operation was acknowledged: if it is a durability point, all up to it is synced."""
        if isinstance(self.operations[index], Sync):
            self.synced = index + 1

    def surfaced(self) -> None:
        """An error came out of the store: what it had not promised to keep may be gone."""
        self.sick = True
        self._relapse()

    def closed(self, *, failed: bool = False) -> None:
        """The handle is no more. Closing may have `failed`, and what the handle has shown with it."""
        if self.sick:
            self._relapse()
        self.sick = False
        self.open_still.clear()
        if failed:
            self.outcomes.clear()

    def showed(self, outcomes: dict[int, bool]) -> None:
        """The store has shown which failed operations happened."""
        for index, happened in outcomes.items():
            if happened:
                self.outcomes[index] = True
                self.open_still.discard(index)
            else:
                self.open_still.add(index)

    def _went_on(self) -> None:
        self.outcomes.update(dict.fromkeys(self.open_still, False))
        self.open_still.clear()

    def copy(self) -> Ledger:
        """The same as it stands now."""
        return dataclasses.replace(
            self,
            operations=list(self.operations),
            failed=set(self.failed),
            swallowed=set(self.swallowed),
            relapses=list(self.relapses),
            outcomes=dict(self.outcomes),
            open_still=set(self.open_still),
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
            outcomes={count + index: happened for index, happened in self.outcomes.items()},
            open_still={count + index for index in self.open_still},
            synced=count + self.synced,
        )

    def _relapse(self) -> None:
        if self.promise != "acknowledged":
            floor = self.synced if self.promise == "synced" else 0
            self.relapses.append(Relapse(len(self.operations), floor))

    def account(self) -> Account:
        """What was said, and shown since."""
        account = self.account_of_words()
        for index, happened in self.outcomes.items():
            account = account.settling(index, happened=happened)
        return account

    def account_of_words(self) -> Account:
        """What was said alone."""
        return Account(tuple(self.operations), frozenset(self.failed), tuple(dict.fromkeys(self.relapses)))


def promise_without_crash(contract: Contract) -> str:
    """What is owed after an error surfaced: the stronger of the promises about crashes."""
    promises = (contract.process_crash, contract.power_loss)
    return next((promise for promise in ("acknowledged", "synced") if promise in promises), "prefix")


def judge_shown(model: SequentialModel, ledger: Ledger, shown: Any, answer: Answer | None = None) -> Violation | None:
    """The broken promise that the state `shown` is, or `None`; also where that can't be decided.

    `answer` is whether it can be explained, where that is known already.
    """
    if (answer or explain(model, ledger.account(), shown)) is not Answer.NO:
        return None
    account = ledger.account_of_words()
    if explain(model, account, shown) is not Answer.NO:
        return _taken_back(model, ledger, ledger.account(), shown)
    everything = range(len(account.operations))
    if explain(model, account.forgiving(everything), shown) is Answer.NO:
        return classify(_plain_oracle(model, account), shown, Window(0, len(account.operations)))
    return _missing(model, ledger, account, shown)


def judge_read(ledger: Ledger, key: str, value: Any) -> Violation | None:
    """The broken promise that the `value` of one key is, `None` for no value; or `None`."""
    state = {} if value is None else {key: value}
    account = of_key(ledger.account(), key)
    if explain(KEY_VALUE, account, state) is not Answer.NO:
        return None
    if explain(KEY_VALUE, of_key(ledger.account_of_words(), key), state) is not Answer.NO:
        return _taken_back(KEY_VALUE, ledger, account, state)
    kind = "swallowed_error" if ledger.hidden or ledger.swallowed else "lost_acknowledged"
    return Violation(kind, f"no acknowledged value of {key!r} is older or newer")


def _taken_back(model: SequentialModel, ledger: Ledger, account: Account, shown: Any) -> Violation:
    """The store contradicts what it has shown itself: of which failed operation, if it is one."""
    for index, happened in reversed(ledger.outcomes.items()):
        if explain(model, account.settling(index, happened=not happened), shown) is not Answer.NO:
            break
    seen, now = ("had happened", "gone") if happened else ("had not happened and went on", "there")
    name = describe(ledger.operations[index])
    sentence = f"{name} raised, the store showed that it {seen}, and without any crash it is {now}"
    return Violation("phantom", sentence, (index,))


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
