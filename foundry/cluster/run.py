"""Which task is given to a machine when, and what is done with its result."""

import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base.progress import say
from foundry.cluster.cluster import Cluster
from foundry.cluster.dag import Task, toolchain_file
from foundry.cluster.view import State, View
from foundry.cluster.workers import Job, Result, redacted

ATTEMPTS = 3  # on another machine, when one is lost
LOGS = Path(".dvc/tmp/cluster/logs")


class Place(NamedTuple):
    """Where the machines find what they need."""

    git: str
    revision: str
    cache: str | None  # see `Job.cache`


class Submission(NamedTuple):
    """A task that Ray was given."""

    task: Task
    node: str | None  # the machine that it has to run on, if not any


class Run:
    """The tasks of `todo`; those in `everything` that are not among them are up to date.

    A stage whose output is in no cache describes its machine: it runs on every machine that could measure. The largest
    group of machines with the same description does all of the measuring.
    """

    def __init__(
        self, cluster: Cluster, everything: Iterable[Task], todo: Iterable[Task], place: Place, lock: dict[str, Any]
    ) -> None:
        self.cluster, self.place, self.lock = cluster, place, lock  # entries of dvc.lock, by stage
        self.everything = {task.name: task for task in everything}
        self.waiting = {task.name: task for task in todo}
        self.unmet = {task.name: {*task.needs} & {*self.waiting} for task in self.waiting.values()}
        self.users: dict[str, list[str]] = {name: [] for name in self.waiting}
        for name, needs in self.unmet.items():
            for need in needs:
                self.users[need].append(name)
        self.ready = deque(task for task in self.waiting.values() if not self.unmet[task.name])
        self.submitted: dict[Any, Submission] = {}
        self.entries: dict[str, Any] = {}  # of dvc.lock, of what was run
        self.failed: dict[str, str] = {}
        self.seconds: dict[str, tuple[float, float]] = {}  # of the whole job and of its stage
        self.attempts: dict[str, int] = {}
        self.begun: dict[str, float] = {}  # since when a task runs that was given to a machine
        self.machines: dict[str, str] = {}  # Ray's name of the machine of each task that has begun
        self.files = {  # what no cache holds
            name: Path(name).read_bytes()
            for task in self.everything.values()
            if task.name not in self.waiting
            for name in task.uncached
        }
        self.toolchain = toolchain_file(self.everything.values())
        if self.toolchain:
            self.files[self.toolchain.as_posix()] = self.toolchain.read_bytes()
        self.measuring: set[str] = set()  # the machines that measure
        self.sent: dict[str, int] = {}  # how many measurements, by machine
        self.answers: dict[str, dict[str, Result]] = {}  # of a stage that says which machine it is, by machine

    def all(self) -> None:
        """Run everything that can be run."""
        with View(self.state) as view:
            while True:
                while self.ready:
                    self._start(self.ready.popleft())
                if not self.submitted:
                    return
                done, _ = self.cluster.ray.wait(list(self.submitted), num_returns=1, timeout=1)
                for reference in done:
                    self._finish(reference)
                self._watch_machines()
                view.show()

    def _watch_machines(self) -> None:
        """Note what has begun, and give up the tasks of lost machines: Ray may wait for their results forever."""
        alive = self.cluster.nodes()
        self.machines |= self.cluster.begun()
        for name in self.machines:
            self.begun.setdefault(name, time.monotonic())
        for reference, submission in list(self.submitted.items()):
            node = submission.node or self.machines.get(submission.task.name)
            if node and node not in alive:
                del self.submitted[reference]
                self._take_result(submission, None)

    def state(self) -> State:
        """How far the run is, for its view."""
        now = time.monotonic()
        names = {submission.task.name for submission in self.submitted.values()}
        running = {name: now - self.begun[name] for name in sorted(names & {*self.begun}, key=self.begun.__getitem__)}
        return State(len(self.entries), len(self.failed), running, len(self.waiting) + len(names) - len(running))

    def _start(self, task: Task) -> None:
        """Give a task to a machine; a measurement to the machine that has had the fewest."""
        if task.name not in self.waiting or self.unmet[task.name]:
            return
        del self.waiting[task.name]
        self.attempts[task.name] = self.attempts.get(task.name, 0) + 1
        suitable = self.cluster.suitable_machines(task)
        if task.uncached:
            nodes = self._could_measure(task)
        elif task.alone:
            nodes = sorted(
                (node for node in suitable if not self.measuring or node in self.measuring),
                key=lambda node: self.sent.get(node, 0),
            )[:1]
            if not nodes and self._ask_again(task):
                return
        elif suitable:
            self.submitted[self.cluster.submit(task, self._job(task))] = Submission(task, None)
            return
        else:
            nodes = []
        for node in nodes:
            self.sent[node] = self.sent.get(node, 0) + task.alone
            self.submitted[self.cluster.submit_to(node, task, self._job(task))] = Submission(task, node)
        if not nodes:
            self._fail(task, f"no machine that offers {task.resources or 'a processor'} is left")

    def _ask_again(self, task: Task) -> bool:
        """Look for other machines of the kind that measured until now, all of which are lost."""
        hosts = [self.everything[name] for name in task.needs if self.everything[name].uncached]
        if not self.measuring or self.attempts[task.name] >= ATTEMPTS:
            return False
        self.measuring = set()
        self.waiting |= {again.name: again for again in (task, *hosts)}
        self.unmet[task.name] = {host.name for host in hosts}
        self.ready.extend(hosts)
        return True

    def _could_measure(self, host: Task) -> list[str]:
        """The machines that can run every measurement that needs this stage; all of them when there is none."""
        measuring = [task for task in self.everything.values() if task.alone and host.name in task.needs]
        nodes = {*self.cluster.nodes()}
        return sorted(nodes.intersection(*(self.cluster.suitable_machines(task) for task in measuring)))

    def _job(self, task: Task) -> Job:
        inputs = [name for name in task.needs if not self.everything[name].uncached]
        if task.persists and task.name in self.lock and all(Path(out).exists() for out in task.outs):
            inputs.append(task.name)
        return Job(
            stage=task.name,
            inputs=tuple(inputs),
            uncached=task.uncached,
            git=self.place.git,
            revision=self.place.revision,
            lock={name: self.entries.get(name) or self.lock[name] for name in inputs},
            files=dict(self.files),
            toolchain=self.toolchain.as_posix() if self.toolchain else None,
            cache=self.place.cache,
        )

    def _finish(self, reference: Any) -> None:
        """Take in the result of a task, or give the task to another machine where its machine was lost."""
        from ray.exceptions import RayError, RayTaskError

        submission = self.submitted.pop(reference)
        try:
            result: Result | None = self.cluster.ray.get(reference)
        except RayTaskError as error:
            self._fail(submission.task, redacted(str(error.cause)))
            return
        except RayError:
            result = None
        self._take_result(submission, result)

    def _take_result(self, submission: Submission, result: Result | None) -> None:
        """Go on with the result of a task; None where its machine was lost."""
        if submission.task.uncached and submission.node:
            self._take_answer(submission, result)
        elif result is None:
            self._lost(submission.task)
        elif self._ended_well(submission.task, result):
            self._done(submission.task, result)

    def _take_answer(self, submission: Submission, result: Result | None) -> None:
        """Take in one machine's description; after the last one, the largest group of equal machines is to measure."""
        name = submission.task.name
        answers = self.answers.setdefault(name, {})
        if result is not None and self._ended_well(submission.task, result, optional=True) and submission.node:
            answers[submission.node] = result
        if any(other.task.name == name for other in self.submitted.values()):
            return
        kinds: dict[tuple[Any, ...], set[str]] = {}
        for node, answer in answers.items():
            kinds.setdefault(tuple(sorted(answer.files.items())), set()).add(node)
        if not kinds:
            self._lost(submission.task)
            return
        if name in self.entries:  # of machines that are lost
            known = tuple(sorted((path, self.files[path]) for path in submission.task.uncached))
            kinds = {known: kinds.get(known, set()) & {*self.cluster.nodes()}}
        self.measuring = max(kinds.values(), key=lambda nodes: (len(nodes), sorted(nodes)))
        if self.measuring:
            self._done(submission.task, answers[min(self.measuring)])
        else:
            self._fail(submission.task, "no machine of the kind that measured until now is left")

    def _ended_well(self, task: Task, result: Result, optional: bool = False) -> bool:
        """Keep the log of a task, and count it as failed where it did not end well, unless it is `optional`."""
        log = LOGS / f"{task.name}.log"
        log.write_text(result.log, encoding="utf-8")
        if not result.ended_well and not optional:
            self._fail(task, f"on {result.machine}, see {log}")
        return result.ended_well

    def _done(self, task: Task, result: Result) -> None:
        self.entries[task.name] = result.entry
        self.files |= result.files
        self.seconds[task.name] = (result.seconds, result.stage_seconds)
        state = self.state()
        took = f" on {result.machine} in {result.seconds:.0f} s, {state.done + state.failed} of {state.total}"
        say(f"  {task.name}: ", ("done", "green"), took)
        for name in self.users[task.name]:
            self.unmet[name].discard(task.name)
            if name in self.waiting and not self.unmet[name]:
                self.ready.append(self.waiting[name])

    def _lost(self, task: Task) -> None:
        if self.attempts[task.name] < ATTEMPTS:
            say(f"  {task.name}: ", ("its machine was lost", "yellow"), ", once more")
            self.cluster.forget(task.name)
            self.begun.pop(task.name, None)
            self.machines.pop(task.name, None)
            self.waiting[task.name] = task
            self.ready.append(task)
        else:
            self._fail(task, f"{ATTEMPTS} machines were lost")

    def _fail(self, task: Task, why: str) -> None:
        """Count a task as failed, and with it everything that waits for it."""
        if task.name in self.failed:
            return
        self.failed[task.name] = why
        say(f"  {task.name}: ", ("failed", "bold red"), f", {why}")
        for name in self.users[task.name]:
            if user := self.waiting.pop(name, None):
                self._fail(user, f"not run, because of {task.name}")
