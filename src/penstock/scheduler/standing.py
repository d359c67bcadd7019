"""Which jobs stand in the turns, and where: by what their waiting tasks need."""

from __future__ import annotations

from penstock.scheduler.room import Room, matches
from penstock.scheduler.turns import ANY_ROOM, Turns, WishTurns
from penstock.scheduler.waiting import WaitingJob, Wish, WishKey


class Standing:
    """The jobs of a pool, and their places among the turns.

    A demand is possible when there are as many nodes as it wants, though they be busy. Where it
    is not, it stands in the turns and is passed by.
    """

    def __init__(self, *, oldest_first: bool) -> None:
        self.oldest_first = oldest_first
        self.jobs: dict[int, WaitingJob] = {}
        self._room = Room()
        self._turns = Turns(self.jobs)
        self._wishes = WishTurns(self.jobs)
        self._possible: dict[WishKey, bool] = {}
        self._gangs_allowed = False
        self._level: dict[int, int] = {}  # by priority: what the last served job had

    def _enter(self, job: WaitingJob, *, fresh: bool) -> None:
        """Give the job its place among the turns, or none if nothing of it may start."""
        starts = job.open and not job.capped
        if job.wishes or job.wish_entries:
            self._enter_wishes(job, starts=starts, fresh=fresh)
        least = job.least() if starts and not job.first_waits else None
        if least is None:
            job.entry = None
            return
        if fresh:
            job.served = max(job.served, self._level.get(job.priority, 0))
        served = 0 if self.oldest_first else job.served
        place = (least, (-job.priority, served, job.job_no))
        if job.entry != place:
            job.entry = place
            self._turns.push(*place)

    def _enter_wishes(self, job: WaitingJob, *, starts: bool, fresh: bool) -> None:
        """The same for those of its tasks that have demands."""
        wanting = [wish for wish, _ in job.wanting()]
        keys = {wish: self._key(job, wish) for wish in wanting}
        job.first_waits = any(wish[1].first and self._is_possible(keys[wish]) for wish in wanting)
        if fresh and starts and wanting:
            job.served = max(job.served, self._level.get(job.priority, 0))
        before, job.wish_entries = job.wish_entries, {}
        for wish in wanting if starts else ():
            if job.first_waits and not wish[1].first:
                continue
            served = -1 if wish[1].displaces else 0 if self.oldest_first else job.served
            place = (keys[wish], (-job.priority, served, job.job_no))
            job.wish_entries[wish] = place
            if before.get(wish) != place:
                self._wishes.push(*place)

    @staticmethod
    def _key(job: WaitingJob, wish: Wish) -> WishKey:
        return (*wish, job.job_no if job.barred else 0)

    def _is_possible(self, key: WishKey) -> bool:
        """Whether there are as many nodes as a task wants, though they be busy."""
        possible = self._possible.get(key)
        if possible is None:
            possible = self._possible[key] = self._are_enough(key)
        return possible

    def _are_enough(self, key: WishKey) -> bool:
        slots, demand, job_no = key
        if demand.is_gang and not self._gangs_allowed:
            return False
        traits = self._room.traits
        count = traits.count(lambda trait: matches(trait, slots, demand))
        if job_no and job_no in self.jobs:
            barred = map(traits.get, self.jobs[job_no].barred)
            count -= sum(trait is not None and matches(trait, slots, demand) for trait in barred)
        return count >= demand.nodes

    def _review_wishes(self) -> None:
        """What nodes there are has changed."""
        if not (self._possible or self._wishes.heaps):
            return
        before = self._possible
        self._possible = {key: self._are_enough(key) for key in list(self._wishes.heaps)}
        for key, possible in list(self._possible.items()):
            if key[1].first and before.get(key) != possible:
                for job_no in sorted(self._wishes.of_kind(key)):
                    if job_no in self.jobs:
                        self._enter(self.jobs[job_no], fresh=False)

    def next_priority(self) -> int | None:
        """The priority of the job whose turn it would be if there were room."""
        job = self._turns.next(ANY_ROOM)
        weights = [] if job is None else [job.priority]
        weights += [-entry[0] for key, entry in self._wishes.tops() if self._is_possible(key)]
        return max(weights, default=None)
