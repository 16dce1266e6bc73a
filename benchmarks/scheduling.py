"""When tasks that need each other are done, with a number of workers or with as many as can be used."""

import heapq


def simulate(
    tasks: dict[str, tuple[list[str], float]], workers: int, workers_per_benchmark: int | None = None
) -> float:
    """Seconds until all tasks are done, if each starts when what it needs is done and a worker is free.

    A task is the tasks that it needs, and its seconds. A benchmark takes several workers at once, by default all.
    """
    waiting_for = {name: len([need for need in needs if need in tasks]) for name, (needs, _) in tasks.items()}
    users: dict[str, list[str]] = {name: [] for name in tasks}
    for name, (needs, _) in tasks.items():
        for need in needs:
            if need in users:
                users[need].append(name)
    takes = {name: (workers_per_benchmark or workers) if name.startswith("benchmark") else 1 for name in tasks}
    ready = [name for name in tasks if not waiting_for[name]]
    running: list[tuple[float, str]] = []
    now, free = 0.0, workers
    while ready or running:
        not_started = []
        for index, name in enumerate(ready):
            if takes[name] <= free:
                free -= takes[name]
                heapq.heappush(running, (now + tasks[name][1], name))
            else:
                not_started.append(name)
            if not free:
                not_started += ready[index + 1 :]
                break
        ready = not_started
        now, done = heapq.heappop(running)
        free += takes[done]
        for user in users[done]:
            waiting_for[user] -= 1
            if not waiting_for[user]:
                ready.append(user)
    return now


def ends_without_limit(tasks: dict[str, tuple[list[str], float]]) -> dict[str, float]:
    """When each task ends, in seconds, if there are workers for all."""
    ends: dict[str, float] = {}
    for name, (needs, seconds) in tasks.items():  # what a task needs comes before it
        ends[name] = seconds + max((ends[need] for need in needs if need in ends), default=0.0)
    return ends
