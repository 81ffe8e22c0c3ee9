"""A power cut takes the end of `instance`, whose records are not flushed one by one: seen at once, brought back from
the store, nothing lost, nothing twice, whatever was written to the same offsets meanwhile."""
import json
import shutil

from kit import compare, config, study
from kit.engines import partition_of
from kit.senders import send_exactly
from kit.wait import within

QUIET = 2


def logs(site, kafka):
    """The folders of the partitions of `instance`, on the broker's disk."""
    found = sorted((kafka.folder / "kafka" / "data").glob(f"talaria.{site.name}.instance-*"))
    assert len(found) == 2
    return found


def power_cut(site, kafka):
    for process in (*site.services.values(), kafka.process):
        process.kill()


def put_back(site, kafka, copy):
    for folder in logs(site, kafka):
        shutil.rmtree(folder)
        shutil.copytree(copy / folder.name, folder)


def start_again(site, kafka, *waiting):
    kafka.start()
    for service in site.services.values():
        service.start()
    for service in site.services.values():
        if service.name not in waiting:
            service.ready(30)


def recover(site):
    text = site.cli("recover", "--json", "--brokers", site.kafka.brokers, "--site", site.name, "--store",
                    f"file:{site.store}")
    return json.loads(text.splitlines()[-1])


def alarms(site, word):
    return sorted(r["name"] for r in site.query(
        "SELECT body ->> 'name' AS name FROM events WHERE type = %s AND body ->> 'kind' = 'stage'", f"alarm.{word}"))


def test_a_lost_tail_is_seen_and_brought_back_from_the_store(own_site, own_kafka, tmp_folder):
    site, kafka = own_site, own_kafka
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=QUIET))
    sizes = {1: 3, 2: 4, 3: 4, 4: 3, 5: 2, 6: 2, 7: 2, 8: 2}

    def send(*seeds):
        for seed in seeds:
            paths = study.study(tmp_folder / str(seed), seed=seed, slices=sizes[seed])
            assert send_exactly(site.dicom, paths) == [0] * sizes[seed]

    def delivered(*seeds):
        for seed in seeds:
            site.settled(study.uid(seed, "study"), sizes[seed], seconds=60)

    send(1)
    delivered(1)
    copy = tmp_folder / "copy"
    for folder in logs(site, kafka):
        shutil.copytree(folder, copy / folder.name)
    send(2, 3)
    delivered(2, 3)  # decided: their offsets stand in decisions
    send(4)          # acknowledged, and nobody has decided it
    power_cut(site, kafka)
    put_back(site, kafka, copy)
    start_again(site, kafka, "router-1", "bookkeeper-1")

    router = site.router
    closed = within(30, lambda: router.metric("talaria_stage_closed", stage="decide"), what="closed")
    status, text = router.get("/readyz")
    assert status == 503 and "talaria recover" in text
    within(20, lambda: len([a for a in alarms(site, "raised") if a.startswith("decide/")]) == closed,
           what="an alarm for each closed partition")
    send(5, 6, 7)  # offsets are used twice
    shut = {line["partition"] for line in router.lines()
            if line["msg"] == "a partition stays closed" and line["stage"] == "decide"}
    # an open partition goes on meanwhile, and what it has decided needs nobody
    assert recover(site)["announced"] >= sizes[4] + sum(
        sizes[seed] for seed in (5, 6, 7) if partition_of(study.uid(seed, "study")) in shut)
    router.ready(30)
    site.bookkeeper.ready(30)
    send(8)
    delivered(*sizes)
    arrived = [a.sop for a in sink.arrived]
    assert len(arrived) == len(set(arrived)) == sum(sizes.values())
    assert sink.identities() == compare.identities(tmp_folder)
    for seed in sizes:
        assert site.unbalanced(study.uid(seed, "study")) == []
    assert router.metric("talaria_stage_closed", stage="decide") == 0
    within(20, lambda: alarms(site, "cleared") == alarms(site, "raised"), what="every alarm is over")

    # it is harmless where nothing was lost, and what it wrote is no stumbling block later
    assert recover(site)["announced"] == 0
    router.restart()
    router.ready()
    assert router.metric("talaria_stage_closed", stage="decide") == 0


def test_what_nobody_had_read_is_no_reason_to_stop(own_site, own_kafka, tmp_folder):
    """Then the object is an orphan, which the reconciler or `talaria recover` announces."""
    site, kafka = own_site, own_kafka
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=QUIET))
    assert send_exactly(site.dicom, study.study(tmp_folder / "1", seed=1, slices=3)) == [0] * 3
    site.settled(study.uid(1, "study"), 3)
    site.router.stop()
    site.bookkeeper.stop()
    copy = tmp_folder / "copy"
    for folder in logs(site, kafka):
        shutil.copytree(folder, copy / folder.name)
    assert send_exactly(site.dicom, study.study(tmp_folder / "2", seed=2, slices=3)) == [0] * 3
    power_cut(site, kafka)
    put_back(site, kafka, copy)
    start_again(site, kafka)
    assert site.router.metric("talaria_stage_closed") == 0
    assert recover(site)["announced"] == 3
    site.settled(study.uid(2, "study"), 3, seconds=60)
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 6


def send(site, folder, *seeds):
    for seed in seeds:
        assert send_exactly(site.dicom, study.study(folder / str(seed), seed=seed, slices=3)) == [0] * 3


def two_studies_of_which_the_disk_has_one(site, kafka, folder):
    """Both are delivered; the target, and the logs as they were after the first."""
    sink, copy = site.sink(), folder / "copy"
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=QUIET))
    send(site, folder, 1)
    site.settled(study.uid(1, "study"), 3)
    for log in logs(site, kafka):
        shutil.copytree(log, copy / log.name)
    send(site, folder, 2)
    site.settled(study.uid(2, "study"), 3)
    return sink, copy


def test_the_bookkeeper_takes_no_other_record_for_the_one_it_has_read(own_site, own_kafka, tmp_folder):
    """Its place is in Postgres. The log is longer than that again before it looks."""
    site, kafka = own_site, own_kafka
    sink, copy = two_studies_of_which_the_disk_has_one(site, kafka, tmp_folder)
    power_cut(site, kafka)
    put_back(site, kafka, copy)
    kafka.start()
    site.receiver.start().ready(30)
    send(site, tmp_folder, *range(3, 9))
    for service in site.services.values():
        if not service.alive():
            service.start()
    bookkeeper = site.bookkeeper
    closed = within(30, lambda: bookkeeper.metric("talaria_stage_closed", stage="bookkeeper"), what="closed")
    assert "talaria recover" in bookkeeper.get("/readyz")[1]
    within(20, lambda: len([a for a in alarms(site, "raised") if a.startswith("bookkeeper/instance/")]) == closed,
           what="an alarm for each closed partition")
    recover(site)
    bookkeeper.ready(30)
    for seed in range(1, 9):
        site.settled(study.uid(seed, "study"), 3, seconds=60)
        assert site.unbalanced(study.uid(seed, "study")) == []
    assert bookkeeper.metric("talaria_stage_closed", stage="bookkeeper") == 0
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 24
    within(20, lambda: alarms(site, "cleared") == alarms(site, "raised"), what="every alarm is over")


def test_who_lives_through_the_cut_does_not_read_on_behind_it(own_site, own_kafka, tmp_folder):
    """Only the broker lost its power, and its log is longer again before anybody looks."""
    site, kafka = own_site, own_kafka
    sink, copy = two_studies_of_which_the_disk_has_one(site, kafka, tmp_folder)
    readers = site.router, site.bookkeeper
    for service in readers:
        service.freeze()
    kafka.process.kill()
    put_back(site, kafka, copy)
    kafka.start()
    send(site, tmp_folder, *range(3, 9))
    for service in readers:
        service.thaw()
    for service, stage in zip(readers, ("decide", "bookkeeper")):
        within(30, lambda s=service, n=stage: s.metric("talaria_stage_closed", stage=n), what=f"{stage} closed")
    recover(site)
    for service in readers:
        service.ready(30)
    for seed in range(1, 9):
        site.settled(study.uid(seed, "study"), 3, seconds=60)
        assert site.unbalanced(study.uid(seed, "study")) == []
    assert sink.identities() == compare.identities(tmp_folder) and len(sink.arrived) == 24
    assert [s.codes for s in readers] == [[], []]


def test_where_topics_that_are_flushed_lost_their_end_too_it_is_seen_and_no_image_is_lost(own_site, own_kafka,
                                                                                        tmp_folder):
    """A disk that lied: decisions, deliveries and committed offsets are gone. They are not rebuilt; the images are
    decided again, and the ledger shows it."""
    site, kafka = own_site, own_kafka
    sink = site.sink()
    site.up(config.document({"pacs": config.dicom(sink.port)}, quiet=QUIET))
    copy, data = tmp_folder / "copy", kafka.folder / "kafka" / "data"
    for seed in (1, 2):
        if seed == 2:  # the disk has nothing of this one
            for name in [f.name for f in data.iterdir() if f.name.startswith((f"talaria.{site.name}.", "__consumer"))]:
                shutil.copytree(data / name, copy / name)
        assert send_exactly(site.dicom, study.study(tmp_folder / str(seed), seed=seed, slices=3)) == [0] * 3
        site.settled(study.uid(seed, "study"), 3)
    power_cut(site, kafka)
    for folder in copy.iterdir():
        shutil.rmtree(data / folder.name)
        shutil.copytree(folder, data / folder.name)
    start_again(site, kafka, "router-1", "dispatcher-1", "bookkeeper-1")
    bookkeeper = site.bookkeeper
    within(30, lambda: bookkeeper.metric("talaria_stage_closed", stage="bookkeeper") >= 3, what="closed")
    recover(site)
    for service in site.services.values():
        service.ready(30)
    within(60, lambda: len(sink.arrived) >= 9, what="what was decided again is delivered again")
    site.settled(study.uid(1, "study"), 3, seconds=60)
    site.settled(study.uid(2, "study"), 3, seconds=60)
    assert sink.identities() == compare.identities(tmp_folder)
    assert site.unbalanced(study.uid(1, "study")) == []
    site.unsound = True
    within(20, lambda: site.unbalanced(study.uid(2, "study")) == ["3 receipts stand in two windows"],
           what="the ledger shows both decisions")
    within(20, lambda: alarms(site, "cleared") == alarms(site, "raised"), what="every alarm is over")
