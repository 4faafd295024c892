"""Damaged files: run a workload, close, damage one file, and open the store again, several times.

The files are damaged at rest, between a clean close and the next opening. What the store makes of it is seen three
times: twice by opening and reading, in every way that it offers, and once after new operations.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.models import BUILT_IN_MODELS, KEY_VALUE, LOG, equals
from harness.core.operations import Append, Get, Load, Put, PutMany, Read, Save, describe, for_store, safe_repr
from harness.core.trace import CallSite, Image, empty_image
from harness.core.workload import Workload
from harness.inject import damage as injury
from harness.inject.damage import Damage, DamageKind, Versions
from harness.judge.classify import Violation
from harness.judge.damage import Opening, judge_openings
from harness.judge.oracle import Oracle
from harness.record import kernel
from harness.record.scan import scan
from harness.run.descriptors import descriptors
from harness.run.live.bench import Bench, Client, listening
from harness.run.live.openings import Opener, ReadWatch
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.recovering import Step, TolerantModel

NAME = "damage"
_PROBED_KEYS = 6


class DamageEngine:
    """Tries damages for the claims "corruption" and "rollback"."""

    fault_types = (Damage, DamageKind)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.workload = workload
        self.claim = claim
        self.repairs = promise == "repaired"
        self.images: list[Image] = []
        self.sizes: dict[int, dict[str, int]] = {}
        self.located: set[tuple[str, DamageKind]] = set()

    def rehearse(self) -> str:
        """Run the workload without any fault; why nothing can be tried, or nothing."""
        self.bench.materializer.place(empty_image())
        client = Client(self.bench)
        client.run(self.workload, after=lambda: self.images.append(scan(self.bench.directory)))
        self.images.append(scan(self.bench.directory))
        self.client = client
        self.versions = {file.path: file for file in injury.versions(self.images)}
        if client.elsewhere or client.errors:
            return (client.elsewhere or list(client.errors.values()))[0]
        self.oracle = oracle_for(self.bench.adapter, tuple(client.operations))
        self.opener = Opener(self.bench, self.oracle, tuple(probes(self.bench.adapter, client.operations)))
        return "" if self._settled() else "the store does not read as it should even without any damage"

    @property
    def operations(self) -> int:
        return len(self.client.operations)

    def _settled(self) -> bool:
        """Whether the undamaged store reads as it should; otherwise damage says nothing."""
        self.bench.materializer.place(self.images[-1])
        opening = self._opening(Step.OPEN, Step.SNAPSHOT, Step.CLOSE)
        return not opening.error and not opening.answer and len(self.oracle.operations) in opening.matches

    def faults(self) -> Iterator[Damage]:
        """Telling ones and any others in turn, of all files in turn, so that a budget leaves out some of each."""
        of_files = [injury.in_turn(*self._of(file)) for file in self.versions.values()]
        return injury.in_turn(*of_files)

    def _of(self, file: Versions) -> Iterator[Iterator[Damage]]:
        for damages in (injury.telling_damages, injury.damages_everywhere):
            found = damages(file, self.bench.seed)
            yield (item for item in found if self._concerns(file, injury.damaged_content(file, item)))

    def _concerns(self, file: Versions, content: bytes | None) -> bool:
        """Whether this damage is one that the claim is about."""
        return injury.sets_back(file, content) == (self.claim == "rollback")

    # --- one damage ----------------------------------------------------------------------------

    def attempt(self, damage: Damage) -> Trial:
        file = self._file(damage)
        if file is None or not injury.applies(file, damage):
            return Trial(0)  # another run may have written other files
        content = injury.damaged_content(file, damage)
        image = injury.damaged(self.images[-1], file.path, content)
        repaired = self.claim == "corruption" and self.repairs and injury.is_one_block(file, content)
        openings = self._openings(image)
        violation = judge_openings(self.oracle, openings, repaired=repaired)
        if violation is None:
            violation = self._written(openings)
        promise = "repaired" if repaired else "detected"
        if violation is not None and self._ends_an_operation(file, content, openings):
            return Trial(0)
        if violation is None:
            return Trial(1, struck=self._located_once(image, file, content, damage), promise=promise)
        left = scan(self.bench.directory)
        site, struck = self._last_read(image, file, content, damage)
        exhibit = self._exhibit(damage, image, left, violation.sentence, openings)
        return Trial(1, violation, site, exhibit, struck, promise)

    def _ends_an_operation(self, file: Versions, content: bytes | None, openings: list[Opening]) -> bool:
        """Whether the file was cut exactly where a completed operation ended, as no store of a single file can know.

        A store that buffers shows these ends only when it is closed after just so many operations; one that begins a
        file with an operation shows the end of the one before by that file being absent, or made and still empty.
        """
        if self.claim == "rollback" or content is None or not file.now.startswith(content):
            return False
        counts = {count for opening in openings for count in opening.matches}
        return any(self._ends(count, file.path, len(content)) for count in sorted(counts))

    def _ends(self, count: int, path: str, size: int) -> bool:
        then = self._sizes_after(count)
        if path in then:
            return then[path] == size
        others = {name: length for name, length in self._sizes(self.images[-1]).items() if name != path}
        return count > 0 and size == 0 and then == others

    def _sizes(self, image: Image) -> dict[str, int]:
        nodes = {name: image.nodes[number] for name, number in image.paths().items()}
        return {name: len(node.content or b"") for name, node in nodes.items()}

    def _sizes_after(self, count: int) -> dict[str, int]:
        """The bytes of all files when the store is closed after so many operations."""
        if count not in self.sizes:
            self.bench.materializer.place(empty_image())
            Client(self.bench).run(Workload("beginning", tuple(self.client.operations[:count])))
            self.sizes[count] = self._sizes(scan(self.bench.directory))
        return self.sizes[count]

    def _located_once(
        self, image: Image, file: Versions, content: bytes | None, damage: Damage
    ) -> tuple[Struck, ...]:
        """Where the store met the damage, asked once for each file and kind: for fault coverage."""
        if (file.path, damage.kind) in self.located:
            return ()
        self.located.add((file.path, damage.kind))
        return self._last_read(image, file, content, damage)[1]

    def _file(self, damage: Damage) -> Versions | None:
        """The file that was meant; where names are made anew in each run, the one with the most similar name."""
        if damage.path in self.versions:
            return self.versions[damage.path]
        names = difflib.get_close_matches(damage.path, self.versions, n=1, cutoff=0.0)
        return self.versions[names[0]] if names else None

    def ended(self, damage: Damage, violation: Violation) -> Trial:
        file = self._file(damage)
        if file is None or not injury.applies(file, damage):
            return Trial(0)
        image = injury.damaged(self.images[-1], file.path, injury.damaged_content(file, damage))
        exhibit = self._exhibit(damage, image, None, violation.sentence, [])
        return Trial(1, violation, None, exhibit, (), "detected")

    def _openings(self, image: Image) -> list[Opening]:
        self.bench.materializer.place(image)
        first = self._opening(Step.OPEN, Step.SNAPSHOT, Step.CLOSE)
        second = self._opening(Step.SECOND_OPEN, Step.SECOND_SNAPSHOT, Step.SECOND_CLOSE)
        self.bench.surroundings.restore()
        return [first, second]

    def _opening(self, opening: Step, reading: Step, closing: Step) -> Opening:
        return self.opener.opened(opening, reading, closing)

    def _written(self, openings: list[Opening]) -> Violation | None:
        """New operations after the damage: what is acknowledged must be there, unless the damage is reported."""
        last = openings[-1]
        if last.error or not last.matches:
            return None
        count = max(last.matches)
        following = following_operations(self.bench.adapter.model, self.client.operations)
        opening = self._opening_after(following)
        if opening is None or opening.error:
            return None if opening is None else judge_openings(self.oracle, [opening], repaired=False)
        if self._continues(opening, count, following):
            return None
        names = ", ".join(describe(operation) for operation in following)
        return Violation("not_writable", f"{names} returned, and reading again gives {describe(opening.state)}")

    def _continues(self, opening: Opening, count: int, following: tuple[Any, ...]) -> bool:
        """Whether the new operations are there; or, with a signal, some first ones of all operations."""
        if opening.signal and opening.matches:
            return True
        fewest = 0 if opening.signal else len(following)
        expected = [
            state
            for number in range(fewest, len(following) + 1)
            for state in self.oracle.following(count, following[:number])
        ]
        return any(equals(self.oracle.model, opening.state, state) for state in expected)

    def _opening_after(self, following: tuple[Any, ...]) -> Opening | None:
        """Write, close and read again; `None` where the store refuses to be written to, which it may."""
        before, adapter, store = descriptors(self.bench.directory), None, None
        with listening() as signals:
            try:
                adapter = self.bench.call(Step.SECOND_OPEN, self.bench.adapter)
                store = self.bench.call(Step.SECOND_OPEN, adapter.open, self.bench.directory)
                for operation in following:
                    self.bench.call(Step.APPLY, adapter.apply, store, for_store(operation))
                self.bench.call(Step.SECOND_CLOSE, adapter.close, store)
            except BaseException as error:
                raised = self.opener.raised(Step.APPLY, error, signals.count > 0)
                self.opener.let_go(Step.SECOND_CLOSE, adapter, store, before)
                return None if raised.declared else raised
        return self._opening(Step.THIRD_OPEN, Step.THIRD_SNAPSHOT, Step.THIRD_CLOSE)

    # --- what the story needs ------------------------------------------------------------------

    def _last_read(
        self, image: Image, file: Versions, content: bytes | None, damage: Damage
    ) -> tuple[CallSite | None, tuple[Struck, ...]]:
        """The last read of the damaged bytes while the store opens and is read, found by doing it once more."""
        start, end = injury.extent(file, content)
        if content is not None:
            start = min(start, len(content) - 1)  # who reads up to a cut reads the damage
        watch = ReadWatch(str(self.bench.directory / file.path), start, end)
        self.bench.materializer.place(image)
        with kernel.engage(watch):
            self._opening(Step.OPEN, Step.SNAPSHOT, Step.CLOSE)
        site = watch.site()
        return site, (Struck(site, watch.call, damage.kind.value),)

    def _exhibit(
        self, damage: Damage, image: Image, left: Image | None, sentence: str, openings: list[Opening]
    ) -> Exhibit:
        complete = self.oracle.states[-1][0]
        reports = [f"opening {number}: {_shown(opening)}" for number, opening in enumerate(openings, 1)]
        return Exhibit(
            lines=(*self.client.lines, "close()", f"<damage: {damage.describe()}>"),
            told=f"All {len(self.client.operations)} operations were acknowledged, and the store was closed.",
            called="Nothing was running when the damage happened.",
            reached=f"At rest: {damage.describe()}.",
            found=". ".join((f"{sentence[:1].upper()}{sentence[1:]}", *reports)) + ".",
            expected=f"It should have read {_short(complete)}, or said that something is wrong.",
            before=self.images[-1],
            after=image,
            recovered=left,
        )


def oracle_for(adapter: Any, operations: tuple[Any, ...], failed: Any = ()) -> Oracle:
    """The oracle for operations that a client issued."""
    built_in = any(adapter.model is model for model in BUILT_IN_MODELS)
    return Oracle(adapter.model if built_in else TolerantModel(adapter.model), operations, failed)


def probes(adapter: Any, operations: list[Any]) -> Iterator[Any]:
    """Reads that the adapter declares, over what the workload wrote."""
    supported = supported_operations(adapter) or ()
    if Load in supported:
        yield Load()
    if Read in supported:
        yield Read(0)
    if Get in supported:
        keys = [item.key for item in operations if isinstance(item, Put)]
        keys += [key for item in operations if isinstance(item, PutMany) for key, _ in item.items]
        for key in list(dict.fromkeys(keys))[:_PROBED_KEYS]:
            yield Get(key)


def following_operations(model: Any, done: list[Any]) -> tuple[Any, ...]:
    """Operations to go on with: new values, or the last ones once more where the model is the user's own."""
    if model is KEY_VALUE:
        return (Put("k1", "after the damage"),)
    if model is LOG:
        return (Append("after the damage"),)
    if any(model is built_in for built_in in BUILT_IN_MODELS):
        return (Save({"after": "the damage"}),)
    return tuple(done[-1:])


def _shown(opening: Opening) -> str:
    if opening.error:
        return f"{opening.during} raised {opening.error}"
    return f"read {_short(opening.state)}{', with a signal' if opening.signal else ', without a word'}"


def _short(value: Any, limit: int = 200) -> str:
    text = safe_repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


