"""The fold: every wording of every release, and the stories that logs tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import log
from waguard.agent.log import EndKind, LevelCounts, LogState, Phase, fold, fold_all, parse, scan
from waguard.agent.record import event_message
from waguard.agent.versions import parse as version

from .story import (
    CHILD,
    DAY,
    EXCEPTION,
    EXITED,
    FAILED,
    LAUNCH,
    PLANNED,
    RETURNED,
    START,
    Story,
    as_event,
    beat,
)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_healthy_start(story: Story) -> None:
    story.daemon(*START, "Clean protocol and wireserver endpoint", "Provisioning already completed, skipping.",
                 "Detect protocol endpoint")
    assert story.state.phase is Phase.PROTOCOL_DETECTION
    assert story.state.phase_since == story.now
    story.daemon("Wire server endpoint:168.63.129.16")
    assert story.state.phase is Phase.PROTOCOL_DETECTION
    story.daemon("Wire protocol version:2012-11-30", "Server preferred version:2015-04-05")
    assert story.state.phase is None
    story.daemon("Determined Agent WALinuxAgent-2.15.0.1 to be the latest agent")
    assert story.state.child_running is False
    state = story.child(*CHILD, beat())
    assert state.daemon_version == version("2.7.3.0")
    assert state.agent_version == version("2.15.0.1")
    assert (state.python, state.distro) == ("3.11.2", "debian-12.5")
    assert state.child == log.ChildStart(story.now - 2, 430, version("2.15.0.1"))
    assert state.heartbeat is not None
    assert (state.heartbeat.at, state.heartbeat.id, state.heartbeat.counter) == (story.now, "2F8C", 0)
    assert state.child_running
    assert (state.phase, state.phase_since, state.pass_open, state.child_exit, state.daemon_end) == (None,) * 5
    assert (state.child_crashes, state.verbose_seen, state.goal_state_failing, state.asleep) == (0, False, None, None)


def test_older_starts(story: Story) -> None:
    story.tell("INFO Daemon", "Azure Linux Agent Version:2.2.46", "OS: ubuntu 20.04", "Python: 3.8.5", "Run daemon")
    assert story.state.daemon_version == version("2.2.46")
    assert story.state.distro == "ubuntu 20.04"
    state = story.tell("INFO ExtHandler", "Agent WALinuxAgent-2.2.46 is running as the goal state agent",
                       "WALinuxAgent-2.2.46 running as process 77")
    assert state.agent_version == version("2.2.46")
    assert state.child is not None
    assert state.child.pid == 77


OPEN_AND_CLOSE = [
    ("ProcessExtensionsGoalState started [incarnation_3 channel: WireServer source: Fabric activity: a correlation b "
     "created: c]",
     ["ProcessExtensionsGoalState completed [incarnation_3 1234 ms]",
      "ProcessExtensionsGoalState failed [incarnation_3 1234 ms]",
      "ProcessExtensionsInGoalState - Exception processing extension handlers:x"]),
    ("ProcessExtensionsInGoalState started [incarnation: 3; Activity Id: a]",
     ["ProcessExtensionsInGoalState completed [incarnation: 3; 12 ms]",
      "ProcessExtensionsInGoalState failed [incarnation: 3; 12 ms]",
      "ProcessExtensionsInGoalState - Exception processing extension handlers: x"]),
    ("ProcessGoalState started [Incarnation: 3; Activity Id: a; Correlation Id: b; GS Creation Time: c]",
     ["ProcessGoalState completed [Incarnation: 3; 1234 ms; Activity Id: a; Correlation Id: b; GS Creation Time: c]",
      "Exception processing extension handlers: x",
      "Event: name=WALinuxAgent, op=ExtensionProcessing, message=Exception processing extension handlers: x [], "
      "duration=0"]),
]


@pytest.mark.parametrize(("start", "ends"), OPEN_AND_CLOSE)
def test_extension_passes(start: str, ends: list[str]) -> None:
    for end in [*ends, *CHILD[:1], CHILD[7], beat(), "Agent WALinuxAgent-2.15.0.1 failed with exception: boom"]:
        story = Story()
        story.child(start)
        since = story.now
        story.child("Fetch failed: [HttpError] x", "A new goal state was received", "OS: debian 12.5")
        assert story.state.pass_open == log.Mark(since, start)
        assert story.child(end).pass_open is None, end
    story = Story()
    story.child(start)
    assert story.daemon("Run daemon").pass_open is None


def test_the_start_of_a_pass_before_2_2_54_is_the_first_extensions_target(story: Story) -> None:
    target = "INFO ExtHandler [Microsoft.Ext-1.0.3] Target handler state:"
    story.child("Agent WALinuxAgent-2.2.53.1 is running as the goal state agent")
    story.tell(target, "enabled [incarnation 3]")
    since = story.now
    story.tell(target, "enabled [incarnation 3]")
    assert story.state.pass_open is not None
    assert story.state.pass_open.at == since
    assert story.child("ProcessGoalState completed [incarnation 3; 1234 ms]").pass_open is None


@pytest.mark.parametrize("agent", ["2.2.26", "2.2.54.2", "2.15.0.1", None])
def test_other_agents_targets_open_nothing(story: Story, agent: str | None) -> None:
    if agent:
        story.child(f"Agent WALinuxAgent-{agent} is running as the goal state agent")
    story.tell("INFO ExtHandler [Microsoft.Ext-1.0.3] Target handler state:", "enabled [incarnation 3]")
    assert story.state.pass_open is None


def test_verbose_lines_that_repeat_at_every_turn_open_nothing(story: Story) -> None:
    story.child("Agent WALinuxAgent-2.2.45 is running as the goal state agent")
    state = story.child("Handle extensions updates for incarnation 3", level="VERBOSE")
    assert state.pass_open is None
    assert state.verbose_seen
    assert state.verbose_at == story.now


@pytest.mark.parametrize(
    "line",
    [
        "2025-11-19T00:00:01.000000Z INFO ExtHandler [Ext-1.0] ProcessExtensionsGoalState started [x]",
        "2025-11-19T00:00:01.000000Z INFO ExtHandler ExtHandler Output: ProcessExtensionsGoalState started [x]",
        "2025/11/19 00:00:01 ProcessExtensionsGoalState started [x]",
        "2025/11/19 00:00:01 [Ext-1.0] ProcessExtensionsGoalState started [x]",
        "2025-11-19T00:00:01.000000Z INFO MainThread LogCollector Detect protocol endpoint",
        "2025-11-19T00:00:01.000000Z INFO Firewall Firewall Daemon is already running: 3",
        "2025-11-19T00:00:01.000000Z INFO ExtHandler ExtHandler Something new",
        "2025-11-19T00:00:01.000000Z INFO ExtHandler ExtHandler",
        "2025-11-19T00:00:01.000000Z INFO ExtHandler ExtHandler Agent",
        "2025-11-19T00:00:01.000000Z INFO ExtHandler ExtHandler Event: ",
    ],
)
def test_what_changes_nothing_gives_the_same_object(line: str) -> None:
    state = LogState()
    found = parse(line.encode())
    assert found is not None
    assert fold(state, found) is state


FAILING = [
    "Error fetching the goal state: [ProtocolError] [Wireserver Exception] [HttpError] timed out",
    "Fetching the goal state is still failing: [ProtocolError] x",
    "An error occurred while retrieving the goal state: [ProtocolError] x",
    "[PERIODIC] Attempts to retrieve the goal state are failing: x",
    "Event: name=WALinuxAgent, op=FetchGoalState, message=Exception retrieving the goal state: x, duration=0",
    "ProtocolError processing goal state, giving up [Exceeded max retry updating goal state]",
    "Exception processing goal state, giving up: [x]",
    "Exception retrieving extension handlers: x",
]
RECOVERED = [
    "Fetching the goal state recovered from previous errors. Fetched incarnation_3 (certificates: [])",
    "Retrieving the goal state recovered from previous errors",
    "Goal state initialization completed.",
    OPEN_AND_CLOSE[0][0], OPEN_AND_CLOSE[1][0], OPEN_AND_CLOSE[2][0],
    beat(errors=0),
    CHILD[0],
]


@pytest.mark.parametrize("failing", FAILING)
def test_goal_state_fetches_that_fail(failing: str) -> None:
    for recovered in RECOVERED:
        story = Story()
        story.child(failing, level="ERROR")
        since = story.now
        for again in FAILING:
            story.child(again, level="ERROR")
        story.child(beat(errors=3), "Fetch failed: [HttpError] x")
        mark = story.state.goal_state_failing
        assert mark is not None
        assert mark == log.Mark(since, event_message(failing))
        assert story.child(recovered).goal_state_failing is None, recovered


def test_certificates_are_another_matter(story: Story) -> None:
    assert story.child("Error fetching the goal state certificates: x", level="ERROR").goal_state_failing is None


PROVISIONING = [
    "Running default provisioning handler", "Running CloudInit provisioning handler", "Running provisioning handler",
    "Waiting for cloud-init to copy ovf-env.xml to /var/lib/waagent/ovf-env.xml [1800 retries remaining, sleeping 1s "
    "between retries]",
    "Waiting for ssh host key be generated at /etc/ssh/ssh_host_rsa_key.pub [1800 attempts remaining, sleeping 1s]",
]


@pytest.mark.parametrize("words", PROVISIONING)
@pytest.mark.parametrize(
    "end",
    ["Provisioning already completed, skipping.", "Provisioning is disabled, skipping.", "Provisioning complete",
     "Finished provisioning", "Provisioning failed: x (3s)", "Provisioning with cloud-init failed: x (3s)",
     "Installed Agent WALinuxAgent-2.7.3.0 is the most current agent",
     "Determined Agent WALinuxAgent-2.15.0.1 to be the latest agent", "Run daemon"],
)
def test_provisioning(story: Story, words: str, end: str) -> None:
    story.daemon(words)
    since = story.now
    story.daemon("Examine /proc/net/route for primary interface", *PROVISIONING)
    assert (story.state.phase, story.state.phase_since) == (Phase.PROVISIONING, since)
    assert story.daemon(end).phase is None


@pytest.mark.parametrize(
    "words",
    ["Detect protocol endpoint", "Detect protocol endpoints", "Retry detect protocol: retry=3",
     "Retry detect protocols: retry=3", "Protocol endpoint not found: x",
     "WireServer is not responding. Reset endpoint", "WireServer is not responding. Reset dhcp endpoint",
     "WireServer endpoint is not found. Rerun dhcp handler"],
)
def test_protocol_detection_inside_provisioning(story: Story, words: str) -> None:
    story.daemon(PROVISIONING[0])
    began = story.now
    story.daemon(words, "Send dhcp request", "Failed to receive dhcp response.", "Wire server endpoint:168.63.129.16")
    assert story.state.phase is Phase.PROTOCOL_DETECTION
    story.daemon("Wire protocol version:2012-11-30")
    assert (story.state.phase, story.state.phase_since) == (Phase.PROVISIONING, began)
    story.daemon(words)
    assert story.daemon("Finished provisioning").phase is None


@pytest.mark.parametrize(
    "end",
    ["cloud-init completed", CHILD[0], CHILD[7], beat(), "An error occurred while waiting for cloud-init; will"],
)
def test_waiting_for_cloud_init(story: Story, end: str) -> None:
    story.child(*CHILD, "Waiting for cloud-init to complete...")
    assert (story.state.phase, story.state.phase_since) == (Phase.CLOUD_INIT, story.now)
    assert story.child(end).phase is None


def test_a_daemon_that_was_stopped(story: Story) -> None:
    story.daemon(*START)
    story.child(*CHILD)
    state = story.daemon("Agent WALinuxAgent-2.7.3.0 forwarding signal 15 to WALinuxAgent-2.15.0.1")
    assert state.daemon_end == log.DaemonEnd(
        story.now, EndKind.TERMINATED, "Agent WALinuxAgent-2.7.3.0 forwarding signal 15 to WALinuxAgent-2.15.0.1")
    assert state.child_running is False
    assert state.child_crashes == 0
    story.daemon(*START)
    assert story.state.daemon_end == state.daemon_end
    assert story.state.daemon_started is not None
    assert state.daemon_end.at is not None
    assert (story.state.daemon_started.at or 0) > state.daemon_end.at


@pytest.mark.parametrize("head", ["ERROR MainThread", "ERROR Daemon Daemon", "ERROR Daemon", "ERROR"])
def test_a_daemon_that_failed(story: Story, head: str) -> None:
    state = story.tell(head, "Failed to run 'daemon': Missing configuration in /etc/waagent.conf")
    assert state.daemon_end is not None
    assert state.daemon_end.kind is EndKind.FAILED


def test_a_second_daemon_leaves_the_first_one_as_it_is(story: Story) -> None:
    story.daemon(*START)
    story.child(*CHILD, OPEN_AND_CLOSE[0][0])
    before = story.state
    state = story.daemon(*START[:3], "Daemon is already running: 412")
    assert state.daemon_end == log.DaemonEnd(story.now, EndKind.ALREADY_RUNNING, "Daemon is already running: 412", 412)
    assert (state.pass_open, state.child, state.child_running) == (before.pass_open, before.child, True)
    assert state.daemon_started == before.daemon_started


def test_a_daemon_that_starts_over(story: Story) -> None:
    story.daemon(*START, PROVISIONING[0], "Detect protocol endpoint")
    state = story.daemon("Daemon ended with exception -- Sleep 15 seconds and restart daemon", level="WARNING")
    assert state.daemon_end is not None
    assert state.daemon_end.kind is EndKind.EXCEPTION
    assert state.phase is Phase.PROTOCOL_DETECTION
    assert story.daemon("Run daemon").phase is None


def test_a_daemon_put_to_sleep(story: Story) -> None:
    words = "Disabling the guest agent by sleeping forever; to re-enable, remove /var/lib/waagent/disable_agent"
    story.daemon(*START)
    state = story.daemon(words, level="WARNING")
    assert state.asleep == log.Mark(story.now, words)
    assert story.daemon("Run daemon").asleep is None


@pytest.mark.parametrize("word", ["disabled", "blacklisted"])
def test_disabled_versions(story: Story, word: str) -> None:
    words = [f"Agent WALinuxAgent-2.15.0.{n} is permanently {word}" for n in (1, 2, 1)]
    state = story.daemon(*words, level="WARNING")
    assert state.disabled == (version("2.15.0.1"), version("2.15.0.2"))
    same = story.daemon(words[0], level="WARNING")
    assert same is state
    story.daemon(*[f"Agent WALinuxAgent-2.1.0.{n} is permanently {word}" for n in range(20)])
    assert len(story.state.disabled) == 8
    assert story.daemon("Run daemon").disabled == ()


def test_old_heartbeats_prove_no_turn_of_the_loop(story: Story) -> None:
    story.child(OPEN_AND_CLOSE[2][0])
    state = story.child("Event: name=WALinuxAgent, op=HeartBeat, message=2;5;2F8C;-1, duration=0")
    assert state.heartbeat is not None
    assert not state.heartbeat.by_loop
    assert state.pass_open is not None


def test_local_times_are_known_only_with_an_offset() -> None:
    lines = [b"2025/11/19 02:00:01.000000 INFO ExtHandler ProcessGoalState started [x]",
             b"2025/11/19 02:00:02.000000 VERBOSE ExtHandler x"]
    state, _ = scan(LogState(), lines)
    assert state.pass_open == log.Mark(None, "ProcessGoalState started [x]")
    assert (state.verbose_seen, state.verbose_at) == (True, None)
    state, _ = scan(LogState(), lines, lambda at: 7200.0)
    assert state.pass_open is not None
    assert (state.pass_open.at, state.verbose_at) == (DAY + 1, DAY + 2)


def test_two_formats_in_one_file() -> None:
    lines = [
        b"2019/11/06 12:41:22.123456 INFO Daemon Azure Linux Agent Version:2.2.45\n",
        b"2019/11/06 12:41:22.123456 INFO Daemon Run daemon\n",
        b"2019-11-06T12:41:30.123456Z INFO ExtHandler ExtHandler " + CHILD[0].encode() + b"\n",
        b"Traceback: ProcessExtensionsGoalState started\n",
        b"2019/11/06 12:41:31 [Ext-1.0] hello\n",
        b"2019-11-06T12:41:32.123456Z VERBOSE ExtHandler ExtHandler x\n",
    ]
    state, counts = scan(LogState(), lines)
    assert (state.daemon_version, state.agent_version) == (version("2.2.45"), version("2.15.0.1"))
    assert counts == LevelCounts(verbose=1, info=3)


def test_kept_texts_are_bounded(story: Story) -> None:
    state = story.child("Error fetching the goal state: " + "x" * 10**6)
    assert state.goal_state_failing is not None
    assert len(state.goal_state_failing.text) == 300


TEXTS = st.one_of(
    st.sampled_from([known.start + known.holds for known in log.SIGNATURES]),
    st.sampled_from([*START, *CHILD, *FAILING, *RECOVERED, *PROVISIONING, FAILED, RETURNED, EXITED, EXCEPTION, LAUNCH,
                     as_event(LAUNCH), beat(errors=2), *[words for words, _ in PLANNED]]),
    st.text(max_size=20),
)
HEADS = st.sampled_from([
    "2025-11-19T00:00:01.000000Z INFO ExtHandler ExtHandler ", "2025-11-19T00:00:02.000000Z WARNING Daemon Daemon ",
    "2025-11-19T00:00:03.000000Z VERBOSE ExtHandler ExtHandler ", "2025-11-19T00:00:04.000000Z VERBOSE Daemon ",
    "2019/11/06 12:41:22.123456 INFO Daemon ", "2019/11/06 12:41:22.123456 VERBOSE ", "2019/11/06 12:41:22 ",
    "2025-11-19T00:00:05.000000Z INFO ExtHandler [Ext-1.0] ", "2025-11-19T00:00:06.000000Z ERROR ", "",
])


@given(st.lists(st.tuples(HEADS, TEXTS).map(lambda pair: "".join(pair).encode("utf-8", "surrogatepass"))))
def test_one_by_one_all_at_once_and_raw_agree(lines: list[bytes]) -> None:
    records = [found for found in map(parse, lines) if found]
    state = LogState()
    for found in records:
        state = fold(state, found)
    assert fold_all(LogState(), iter(records)) == state
    assert scan(LogState(), iter(lines)) == (state, LevelCounts().plus(records))
    assert state.child_crashes >= 0
    assert state.phase is None or state.phase in Phase


def test_every_signature_is_reachable() -> None:
    """No signature hides behind an earlier one with the same first word."""
    words: dict[str, set[str]] = {}
    for known in log.SIGNATURES:
        earlier = words.setdefault(known.start.split(" ")[0], set())
        shadow = known.start + "|" + known.holds + "|" + (known.pattern.pattern if known.pattern else "")
        assert shadow not in earlier
        earlier.add(shadow)
