"""A script at work: which of its faults hit a call, with everything that has happened so far in mind."""

from collections.abc import Iterable

from batchrun.service.batches import Batch
from batchrun.service.faults.fault import Fault
from batchrun.service.faults.matching import Call, chance_of, fits, has_metadata, is_due
from batchrun.service.faults.memory import FaultMemory
from batchrun.service.faults.script import FaultScript
from batchrun.service.faults.words import Place, What


class Decider:
    """Calls of the API and executions are counted, durably. Batches and result lines have numbers of their own: nothing is kept."""

    def __init__(self, script: FaultScript, memory: FaultMemory) -> None:
        self.script = script
        self._memory = memory
        self._places = frozenset(place for fault in script.named.values() for place in fault.places)

    def hits(self, call: Call, kinds: Iterable[What], *, most: int = 1_000) -> tuple[Fault, ...]:
        """Count this call for every fault of these kinds that it fits; those whose turn it is, at most so many."""
        if call.place not in self._places:
            return ()
        kinds, named = frozenset(kinds), self.script.named
        elapsed_s = self._memory.elapsed_s()
        fitting = [
            name
            for name, fault in named.items()
            if fault.what in kinds and fits(fault, call, elapsed_s=elapsed_s)
        ]
        if not fitting:
            return ()

        def is_its_turn(name: str, number: int, fired: int) -> bool:
            chance = chance_of(self.script.seed, name, number)
            return is_due(named[name], number=number, fired=fired, chance=chance)

        return tuple(named[name] for name in self._memory.count(fitting, is_its_turn, most=most))

    def of_batch(self, place: Place, batch: Batch, metadata: dict[str, str]) -> tuple[Fault, ...]:
        """The faults that hit a step of a batch: its number is that of its creation, so that asking twice changes nothing."""
        return self._of_number(Call(place=place, metadata=metadata), batch.seq, batch.seq)

    def of_file(self, place: Place, metadata: dict[str, str]) -> "LineDecider | None":
        """What decides for each line of a result file; None where no fault is about such a file."""
        if place not in self._places:
            return None
        elapsed_s = self._memory.elapsed_s()
        # The conditions of the file are settled here; what is left for a line is its custom_id, number and chance.
        faults = {
            name: fault
            for name, fault in self.script.named.items()
            if place in fault.places
            and has_metadata(fault, metadata)
            and fault.from_s <= elapsed_s
            and (fault.until_s is None or elapsed_s < fault.until_s)
        }
        return LineDecider(faults, place, metadata, self.script.seed, elapsed_s)

    def _of_number(self, call: Call, number: int, lot: object) -> tuple[Fault, ...]:
        if call.place not in self._places:
            return ()
        elapsed_s = self._memory.elapsed_s()
        return tuple(
            fault
            for name, fault in self.script.named.items()
            if fits(fault, call, elapsed_s=elapsed_s)
            and is_due(fault, number=number, fired=0, chance=chance_of(self.script.seed, name, lot))
        )


class LineDecider:
    """Decides for the lines of one result file. A line's chance follows from its custom_id, whatever the order of the lines."""

    def __init__(
        self,
        faults: dict[str, Fault],
        place: Place,
        metadata: dict[str, str],
        seed: int,
        elapsed_s: int,
    ) -> None:
        self._faults = faults
        self._place = place
        self._metadata = metadata
        self._seed = seed
        self._elapsed_s = elapsed_s

    def hits(self, number: int, custom_id: str) -> list[Fault]:
        """The faults that hit the `number`-th line (from 1)."""
        call = Call(place=self._place, metadata=self._metadata, custom_id=custom_id)
        return [
            fault
            for name, fault in self._faults.items()
            if fits(fault, call, elapsed_s=self._elapsed_s)
            and is_due(
                fault,
                number=number,
                fired=0,
                chance=chance_of(self._seed, name, custom_id),
            )
        ]
