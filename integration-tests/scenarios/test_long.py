"""The long form of the kill tests (integration-tests/long), a minute of it: it must not rot."""
from collections import Counter

import pytest

from kit.wait import patient
from long.kills import Duress
from long.oracle import Books


@pytest.fixture
def duress(own_site):
    """The database server is shared with other tests, so it stays."""
    duress = Duress(own_site, seed="smoke", without=("kill postgres", "kill broker", "freeze broker"))
    yield duress
    assert duress.close() == []


def test_whatever_is_killed_under_load_what_was_acknowledged_is_where_the_rules_say(duress):
    books = duress.round(5, seconds=patient(30))
    assert books.problems == []
    assert duress.faults.kills() >= 5
    assert books.counts["acknowledged"] > 20 and books.counts["owed"] > 20 and books.counts["lost"] == 0

    # the books themselves: one image taken from a target, brought to another, changed, or brought once more
    pacs = books.arrived["pacs"]
    sop, sha256 = next(a for a in pacs if books.outcomes["pacs", a[0]] == {"delivered": 1})
    for kind, change in {"lost": {"pacs": pacs - Counter([(sop, sha256)])},
                         "misdelivered": {"slow": Counter([("2.25.1", sha256)])},
                         "changed": {"pacs": pacs + Counter([(sop, "0")])},
                         "unexplained copies": {"pacs": pacs + Counter({(sop, sha256): 9})}}.items():
        wrong = Books(duress.site, books.journal, {**books.arrived, **change}, forgiven=0)
        assert wrong.counts[kind] >= 1 and wrong.problems, kind
