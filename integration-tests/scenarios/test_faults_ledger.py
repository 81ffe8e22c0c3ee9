"""The ledger can be taken away and put back older: it is read anew from the log, and what people saved is published."""
import http.client

import pytest

from kit import compare, config, study
from kit.senders import send_exactly
from kit.wait import within


def test_a_database_restored_from_yesterday_catches_up_and_so_does_the_configuration(site, postgres, tmp_folder):
    sink, later = site.sink(), site.sink()
    targets = {"pacs": config.dicom(sink.port), "later": config.dicom(later.port)}
    site.up(config.document(targets, {"all": config.rule("True", "pacs")}))

    def sent(seed):
        assert send_exactly(site.dicom, study.study(tmp_folder / str(seed), seed=seed, slices=2)) == [0, 0]
        site.settled(study.uid(seed, "study"), 2)

    def database(*statements):
        """With nobody connected."""
        for s in users:
            assert s.stop() == 0
        site.disconnect()
        for sql in statements:
            postgres.execute(sql)
        for s in users:
            s.start()
        for s in users:
            s.ready()

    users = site.bookkeeper, site.gateway
    yesterday = f"{site.database}_yesterday"
    sent(1)
    database(f"CREATE DATABASE {yesterday} TEMPLATE {site.database}")
    try:
        today = site.apply(config.document(targets, {"all": config.rule("True", "later")}))
        sent(2)
        database(f"DROP DATABASE {site.database}", f"CREATE DATABASE {site.database} TEMPLATE {yesterday}")
    finally:
        postgres.drop(yesterday)
    for seed in (1, 2):
        site.settled(study.uid(seed, "study"), 2)
        assert site.unbalanced(study.uid(seed, "study")) == []
    assert site.value("SELECT count(*) FROM receipts") == 4
    # the gateway takes what is published before it accepts an edit, and the next one is newer
    assert site.request("GET", "/config")[1]["rules"]["all"]["targets"] == ["later"]
    newest = site.apply(config.document(targets, {"all": config.rule("True", "pacs", "later")}))
    assert int(newest.split("-")[0]) > int(today.split("-")[0])
    sent(3)
    assert sink.identities() == sorted(compare.identities(tmp_folder / "1") + compare.identities(tmp_folder / "3"))
    assert later.identities() == sorted(compare.identities(tmp_folder / "2") + compare.identities(tmp_folder / "3"))


@pytest.mark.parametrize("place", ["gateway.saved", "gateway.published"])
def test_a_configuration_that_was_saved_is_published_by_whoever_comes_back(site, place):
    gateway = site.start("gateway")
    router = site.start("router")
    assert gateway.stop() == 0
    gateway.start(failpoints={place: "kill"}).ready()
    try:
        status, body = site.request("PUT", "/config", config.document({"x": {"type": "dummy"}}), {"If-Match": '"0"'})
        assert status in (200, 202), body
    except (http.client.HTTPException, OSError):
        pass  # killed before it could answer
    assert gateway.died(20) == -9
    assert site.value("SELECT count(*) FROM config_revisions") == 1
    gateway.start().ready()
    within(20, lambda: router.metric("talaria_config_info") == 1 and 'revision="1-' in router.get("/metrics")[1],
           what="the router has revision 1")
    within(10, lambda: site.value("SELECT bool_and(published) FROM config_revisions"), what="known as published")
    assert len(list((site.store / "config").iterdir())) == 1
