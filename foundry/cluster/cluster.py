"""The machines that Ray knows, and giving them tasks."""

from collections.abc import Collection
from typing import Any

from foundry.base.errors import FoundryError
from foundry.cluster import workers
from foundry.cluster.dag import Task
from foundry.cluster.workers import Job

# By default Ray's processes give way to every other one (a niceness of 15): on a busy machine a stage hardly gets on,
# and one that measures measures that.
NOT_IN_THE_BACKGROUND = {"worker_niceness": 0}


class Cluster:
    """A cluster that runs already, or one with `local` processors that is started here and ends with this process.

    Raises:
        FoundryError: when Ray is not installed, or no cluster answers.
    """

    def __init__(self, local: int | None, address: str | None) -> None:
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError as error:
            raise FoundryError("Ray is not installed: pip install 'embedding-foundry[cluster]'") from error
        try:
            if local is not None:
                ray.init(
                    address="local", num_cpus=local, include_dashboard=False, log_to_driver=False,
                    _system_config=NOT_IN_THE_BACKGROUND,
                )  # fmt: skip
            else:
                ray.init(address=address, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise FoundryError(f"no cluster: {error}") from error
        ray.cloudpickle.register_pickle_by_value(workers)  # machines need the project's libraries, and not itself
        self.ray, self.affinity = ray, NodeAffinitySchedulingStrategy
        self.remote = ray.remote(max_retries=0)(workers.work)
        # Nowhere else: on a machine that is lost, it would forget what runs where, and that machine is never found out.
        here = self.affinity(ray.get_runtime_context().get_node_id(), soft=False)
        self.board: Any = (
            ray.remote(workers.Board).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
        )

    def nodes(self) -> dict[str, dict[str, float]]:
        """What each machine offers that takes stages at all."""
        return {
            node["NodeID"]: {name: value for name, value in node["Resources"].items() if ":" not in name}
            for node in self.ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU")
        }

    def suitable_machines(self, task: Task) -> list[str]:
        """The machines that offer what a task needs."""
        return [
            name
            for name, offered in self.nodes().items()
            if all(offered.get(key, 0) >= value for key, value in task.resources.items())
        ]

    def check(self, tasks: Collection[Task]) -> None:
        """Check that each task can be run.

        Raises:
            FoundryError: when a task needs what no machine offers.
        """
        for task in tasks:
            if not self.suitable_machines(task):
                raise FoundryError(
                    f"{task.name} needs {task.resources}, which no machine offers: {[*self.nodes().values()]}"
                )

    def begun(self) -> dict[str, str]:
        """The machine of each task that has begun; a task that waits for a processor is not among them."""
        return dict(self._board("all") or {})

    def forget(self, name: str) -> None:
        """Forget where a task ran, because it is to run again."""
        self._board("forget", name)

    def _board(self, method: str, *arguments: str) -> Any:
        from ray.exceptions import RayError

        try:
            return self.ray.get(getattr(self.board, method).remote(*arguments))
        except RayError:  # its process has ended, and Ray starts another on this machine
            return None

    def submit(self, task: Task, job: Job) -> Any:
        """Give a task to a machine that offers what it needs and has a processor free."""
        return self.remote.options(
            num_cpus=1, resources=task.resources, scheduling_strategy="SPREAD", name=task.name
        ).remote(job, self.board)

    def submit_to(self, node: str, task: Task, job: Job) -> Any:
        """Give a task to this machine: with all of its processors if it is to be alone there, else with none."""
        return self.remote.options(
            num_cpus=self.nodes()[node]["CPU"] if task.alone else 0,
            resources=task.resources,
            scheduling_strategy=self.affinity(node, soft=False),
            name=task.name,
        ).remote(job, self.board)
