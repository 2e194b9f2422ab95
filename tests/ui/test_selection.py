"""Any URL gives a usable selection, and a selection survives the URL."""

from hypothesis import given
from hypothesis import strategies as st

from dashboard.selection import Selection, describe


@given(st.text(max_size=200))
def test_any_url_gives_a_usable_selection(written: str) -> None:
    selection = Selection.parse(written)
    assert Selection.parse(str(selection)) == selection
    condition, parameters = selection.where()
    assert condition.count("?") == len(parameters)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5, unique=True))
def test_values_survive_the_url(values: list[str]) -> None:
    selection = Selection().put("source", values)
    assert Selection.parse(str(selection)).values("source") == tuple(values)


def test_selection_drops_what_it_does_not_know() -> None:
    assert not Selection.parse("true:9,pred:x,off:99,drop table:1,source:")
    both = Selection().toggle(true="3", pred="1")
    assert str(both) == "true:3,pred:1"
    assert not both.toggle(true="3", pred="1")
    assert str(both.remove("true", "3")) == "pred:1"


def test_picked_posts_are_as_many_as_an_address_holds() -> None:
    posts = [f"post {number}" for number in range(2000)]
    chosen = Selection().put("true", ["3"]).pick(posts)
    kept = chosen.values("post")
    assert 100 < len(kept) < len(posts) and set(kept) < set(posts) and chosen.values("true") == ("3",)
    assert len(str(chosen)) < 7000 and Selection.parse(str(chosen)) == chosen
    # Those that fit are not the first ones.
    assert max(int(post.split()[1]) for post in kept) > 1900
    few = Selection().pick(["b", "a"])
    assert few == Selection().pick(["a", "b"]) and not few.pick(["a", "b"])


def test_a_distance_says_which_way_it_is() -> None:
    said = {off: describe("off", str(off)) for off in (-2, -1, 0, 3)}
    # Predicted minus true.
    assert said == {-2: "2 levels too low", -1: "1 level too low", 0: "Exact level", 3: "3 levels too high"}
