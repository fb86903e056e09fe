"""What jobs ask of a cluster's machines, and what these offer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from foldwise.executors import ClusterError, Job

GB = 1e9


class RayNode(TypedDict):
    """What foldwise reads of an entry of `ray.nodes()`."""

    NodeID: str
    NodeManagerHostname: str
    Alive: bool
    Resources: Mapping[str, float]


@dataclass(frozen=True)
class Offer:
    """What a node has in all."""

    node: str  # Ray's id
    host: str
    cpus: int
    gpus: float
    memory: float  # GB

    def fits(self, needs: "Needs") -> bool:
        """Whether it could run a job of these needs, were it idle."""
        return needs.cpus <= self.cpus and needs.gpus <= self.gpus and needs.memory <= self.memory


@dataclass(frozen=True)
class Needs:
    """What a job asks for."""

    cpus: int
    gpus: float
    memory: float  # GB

    def __str__(self) -> str:
        asked = [
            f"{self.cpus} CPUs",
            f"{self.gpus:g} GPUs" if self.gpus else "",
            f"{self.memory:g} GB of memory" if self.memory else "",
        ]
        return ", ".join(filter(None, asked))

    def options(self) -> dict[str, float]:
        """The same for Ray."""
        memory = {"memory": int(self.memory * GB)} if self.memory else {}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **memory}


def offers_of(nodes: Iterable[RayNode]) -> list[Offer]:
    """The offers of the living nodes that run jobs. nodes: as `ray.nodes()` has them."""
    found = []
    for node in nodes:
        has = node["Resources"]
        if node["Alive"] and has.get("CPU", 0) >= 1:
            found.append(
                Offer(
                    node=node["NodeID"],
                    host=node["NodeManagerHostname"],
                    cpus=int(has["CPU"]),
                    gpus=has.get("GPU", 0.0),
                    memory=has.get("memory", 0.0) / GB,
                )
            )
    return found


def needs_of(job: Job, count: int, offers: Sequence[Offer]) -> Needs:
    """What a job asks for, of `count` at the same time.

    GPUs: one where any node has some. CPUs, unless the job says so: with a GPU the share of its
    node's CPUs that goes with it; else the most with which `count` jobs run at once, one at least.
    Raises: ClusterError: no node has as much.
    """
    gpus = job.gpus
    if gpus is None:
        gpus = float(any(offer.gpus >= 1 for offer in offers))
    suited = [offer for offer in offers if offer.gpus >= gpus] or list(offers)
    cpus = job.cpus
    if cpus is None and gpus:
        cpus = max(1, min((int(o.cpus * gpus / o.gpus) for o in suited if o.gpus), default=1))
    elif cpus is None:
        most = max((offer.cpus for offer in suited), default=1)
        enough = [n for n in range(1, most + 1) if sum(o.cpus // n for o in suited) >= count]
        cpus = max(enough, default=1)
    needs = Needs(cpus=cpus, gpus=gpus, memory=job.memory or 0.0)
    if not any(offer.fits(needs) for offer in offers):
        raise ClusterError(
            f"{job.what} asks for {needs}, and {_largest(offers)}; lower cpus, gpus or "
            "memory in the recipe, or with --set (a part of a GPU is fine: gpus=0.5), or add a node"
        )
    return needs


def _largest(offers: Sequence[Offer]) -> str:
    if not offers:
        return "no node of the cluster has a CPU to run it on"
    best = max(offers, key=lambda offer: (offer.gpus, offer.cpus, offer.memory))
    return (
        f"the largest node, {best.host}, offers {best.cpus} CPUs, {best.gpus:g} GPUs, "
        f"{best.memory:.1f} GB of memory"
    )
