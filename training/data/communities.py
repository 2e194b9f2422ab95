"""Communities of a weighted graph (Louvain, of networkx), also where networkx would go on for ever.

Where two communities suit a node equally well, rounding may speak for the one it is not in: then networkx, up to 3.6,
moves it to and fro without end (https://github.com/networkx/networkx/issues/8739). The more nodes there are, the
likelier is one such. There the weights are rounded to binary fractions, whose sums are exact, so that what is equal
comes out equal.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import networkx as nx
import structlog

from engine.errors import DataError

# Moves of one node that are taken for endless; of thousands of real posts none makes ten.
MOVES = 15
FRACTION = 2.0**26

log = structlog.get_logger()


class _EndlessError(Exception):
    """A node is moved to and fro."""


class _Nodes(dict[int, Any]):
    """What is known of each node of a graph; networkx asks for it once for each move of the node."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: Counter[int] = Counter()

    def __getitem__(self, node: int) -> Any:
        self.moves[node] += 1
        if self.moves[node] > MOVES:
            raise _EndlessError
        return super().__getitem__(node)


class _Graph(nx.Graph):  # type: ignore[misc]
    node_dict_factory = _Nodes


def communities(nodes: int, ties: Mapping[tuple[int, int], float], resolution: float) -> list[set[int]]:
    """Nodes 0 to `nodes` − 1 in communities, by the weights of their ties; the same each time.

    Raises DataError where networkx finds no end even so.
    """
    try:
        return _louvain(nodes, ties, resolution)
    except _EndlessError:
        log.warning("two communities suit a node equally well; the weights of ties are rounded")
    try:
        return _louvain(nodes, {pair: round(tie * FRACTION) / FRACTION for pair, tie in ties.items()}, resolution)
    except _EndlessError as error:
        raise DataError("networkx finds no end to grouping these posts; install a newer one.") from error


def _louvain(nodes: int, ties: Mapping[tuple[int, int], float], resolution: float) -> list[set[int]]:
    graph = _Graph()
    graph.add_nodes_from(range(nodes))
    graph.add_weighted_edges_from((left, right, weight) for (left, right), weight in ties.items())
    found: list[set[int]] = nx.community.louvain_communities(graph, resolution=resolution, seed=0)
    return found
