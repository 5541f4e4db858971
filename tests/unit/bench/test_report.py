from tests.bench.picture import picture
from tests.bench.plan import BARE, EVENTS, SENDS, WRITES
from tests.bench.plan import OURS as OURS_WHOLE
from tests.bench.report import Table, markdown, tables, targets_table, terminal, through_table
from tests.bench.runs import Run, Runs
from tests.bench.stores import GROUP_COMMIT, KEYV, OURS, POSTGRES_BAILEYS
from tests.bench.targets import Verdict, verdicts

PAYLOAD_BYTES = 2000.0


def busy(store: str, keys_per_second: float, *, disk: str = "fast", **figures: float) -> Run:
    return Run(disk, WRITES, store, 100, 0, {"keys_per_second": keys_per_second, "p50_ms": 1.0, **figures})


def verdict(runs: Runs, number: int, disk: str = "fast") -> Verdict:
    return next(v for v in verdicts(runs, PAYLOAD_BYTES) if v.target.number == number and v.disk == disk)


def test_a_target_is_judged_against_the_best_peer_by_the_gate_of_its_disk() -> None:
    rates = {OURS.name: 900.0, KEYV.name: 300.0, POSTGRES_BAILEYS.name: 100.0}
    runs = Runs(busy(store, rate, disk=disk) for disk in ("fast", "2 ms") for store, rate in rates.items())
    assert (verdict(runs, 1).word, verdict(runs, 1, "2 ms").word) == ("met", "NOT MET")


def test_a_target_whose_stretch_is_reached_says_so() -> None:
    runs = Runs([busy(OURS.name, 3000.0), busy(GROUP_COMMIT.name, 1000.0)])
    assert verdict(runs, 9).word == "stretch met"


def test_what_did_not_run_is_not_measured_rather_than_met() -> None:
    assert {v.word for v in verdicts(Runs([]), PAYLOAD_BYTES)} == {"not measured"}


def test_costs_have_to_be_small_to_reach_their_target() -> None:
    runs = Runs(
        [busy(OURS.name, 1.0, wal_bytes_per_message=1400.0), busy(KEYV.name, 1.0, wal_bytes_per_message=1600.0)]
    )
    against_peers, against_json = (
        v.word for v in verdicts(runs, PAYLOAD_BYTES) if v.target.number == 10 and v.disk == "fast"
    )
    assert (against_peers, against_json) == ("NOT MET", "met")


def test_one_lost_write_misses_the_target_of_kills() -> None:
    kills = [
        Run("fast", "kill -9", part, 50, 0, {"acknowledged": 4000.0, "lost": lost})
        for part, lost in (("sidecar", 0.0), ("database", 1.0))
    ]
    assert verdict(Runs(kills), 15).word == "NOT MET"
    assert verdict(Runs(kills[:1]), 15).word == "stretch met"


def test_the_report_has_a_row_for_each_target_and_each_store_that_ran() -> None:
    runs = Runs([busy(OURS.name, 2000.0), busy(KEYV.name, 500.0)])
    judged = list(verdicts(runs, PAYLOAD_BYTES))
    assert len(targets_table(judged).rows) == len(judged)
    (writes,) = (table for table in tables(runs, judged) if table.title.startswith("Each session awaits"))
    assert [row[:3] for row in writes.rows] == [["100", OURS.name, "2000"], ["100", KEYV.name, "500"]]


def test_the_way_through_the_product_is_a_ratio_to_bare_baileys_of_the_same_round() -> None:
    runs = Runs(
        Run("fast", load, store, 50, round_, {"sends_per_second": 100.0 * ours, "p50_ms": 2.0 / ours, "p99_ms": 9.0})
        for round_ in range(3)
        for load in (SENDS, EVENTS)
        for store, ours in ((OURS_WHOLE, 1.0), (BARE, 2.0 + round_))
    )
    rows = through_table(runs).rows
    assert [row[0] for row in rows][:2] == ["sends/s", "a send, median ms"]
    assert rows[0][1:] == ["50", "100", "300", "0.333x [0.25-0.5]"]
    assert rows[3][1:] == ["50", "2.0", "0.7", "3x [2-4]"]


def test_a_table_reads_the_same_in_the_terminal_and_in_markdown() -> None:
    table = Table("Title", ["a", "long name"], [["1", "2"]], "Note.")
    assert terminal(table) == "Title\nNote.\n\na  long name\n1  2\n"
    assert markdown(table) == "### Title\n\nNote.\n\n| a | long name |\n| --- | --- |\n| 1 | 2 |\n"


def test_the_picture_shows_the_stores_that_ran_by_their_medians() -> None:
    drawn = picture(Runs([busy(OURS.name, 2000.0, cpu=1.0), busy(KEYV.name, 500.0, cpu=4.0)]))
    assert drawn.count(">ours<") == drawn.count(">keyv-postgres<") == 2
    assert ">2,000<" in drawn
    assert ">4 s<" in drawn
