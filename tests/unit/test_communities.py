"""Communities are networkx's, and there is an end to finding them."""

import networkx as nx
import pytest

from engine.errors import DataError
from training.data.communities import MOVES, communities

# Two triangles that one weak tie joins.
TIES = {(0, 1): 1 / 3, (0, 2): 1 / 3, (1, 2): 1.0, (2, 3): 0.1, (3, 4): 1.0, (3, 5): 1.0, (4, 5): 1.0}


def test_communities_are_those_of_networkx() -> None:
    generated = nx.planted_partition_graph(12, 15, 0.8, 0.02, seed=1)
    ties = {(left, right): 1 / (1 + (left + right) % 7) for left, right in generated.edges}
    graph = nx.Graph()
    graph.add_nodes_from(range(200))
    graph.add_weighted_edges_from((*pair, tie) for pair, tie in ties.items())
    for resolution in (1.0, 10.0):
        expected = nx.community.louvain_communities(graph, resolution=resolution, seed=0)
        assert communities(200, ties, resolution) == expected and 12 < len(expected) < 200


@pytest.mark.parametrize("weights", ["as they are", "any"])
def test_a_node_that_is_moved_to_and_fro_is_no_endless_loop(monkeypatch: pytest.MonkeyPatch, weights: str) -> None:
    louvain = nx.community.louvain_communities
    moves = []

    def endless(graph: nx.Graph, **options: object) -> list[set[int]]:
        while weights == "any" or graph[0][1]["weight"] == 1 / 3:
            moves.append(graph.nodes[4])
        return louvain(graph, **options)

    monkeypatch.setattr(nx.community, "louvain_communities", endless)
    if weights == "any":
        with pytest.raises(DataError, match="networkx finds no end"):
            communities(6, TIES, 1.0)
    else:
        assert communities(6, TIES, 1.0) == [{0, 1, 2}, {3, 4, 5}]
    assert len(moves) <= 2 * MOVES
