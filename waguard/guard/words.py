"""Sentences of the guard in which one word would not do: in another language more than the word changes."""

from __future__ import annotations

from waguard.decide.restart import Action, Stage
from waguard.i18n import message, say
from waguard.judge.liveness import AgentState

_IS = {
    AgentState.RUNNING: message("agent is running: {said_why}"),
    AgentState.STARTING: message("agent is starting: {said_why}"),
    AgentState.PROVISIONING: message("agent is provisioning: {said_why}"),
    AgentState.BUSY: message("agent is busy: {said_why}"),
    AgentState.DOWN: message("agent is down: {said_why}"),
    AgentState.HUNG: message("agent is hung: {said_why}"),
    AgentState.HANDLER_MISSING: message("agent is handler-missing: {said_why}"),
    AgentState.RESTING: message("agent is resting: {said_why}"),
    AgentState.NOT_INSTALLED: message("agent is not-installed: {said_why}"),
    AgentState.UNKNOWN: message("agent is unknown: {said_why}"),
}
_UNREACHED = {
    Stage.ACTIVE: message("the active stage was not reached"),
    Stage.HANDLER: message("the handler stage was not reached"),
    Stage.HEARTBEAT: message("the heartbeat stage was not reached"),
}


def verdict(state: AgentState, why: str) -> str:
    """How the agent is, and the evidence."""
    return _IS[state].format(said_why=why)


def but(state: AgentState, summary: str) -> str:
    """An agent that runs (``RUNNING`` or ``BUSY``), and a finding's summary."""
    if state is AgentState.BUSY:
        return say("agent is busy, but {said_summary}", said_summary=summary)
    return say("agent is running, but {said_summary}", said_summary=summary)


def acting(action: Action, unit: str, why: str) -> str:
    """What is about to be ordered."""
    if action is Action.START:
        return say("starting {unit}: {said_why}", unit=unit, said_why=why)
    return say("restarting {unit}: {said_why}", unit=unit, said_why=why)


def not_done(action: Action, unit: str, trouble: str) -> str:
    """An order that failed."""
    if action is Action.START:
        return say("{unit} was not started: {said_trouble}", unit=unit, said_trouble=trouble)
    return say("{unit} was not restarted: {said_trouble}", unit=unit, said_trouble=trouble)


def proved(action: Action) -> str:
    """An order whose effect has been seen."""
    if action is Action.START:
        return say("the agent works again, proved by a new heartbeat after the start")
    return say("the agent works again, proved by a new heartbeat after the restart")


def not_proved(action: Action, stage: Stage) -> str:
    """An order whose effect was not seen in time, or not at all."""
    if action is Action.START:
        return say("the start did not bring a working agent: {said_stage}", said_stage=_UNREACHED[stage])
    return say("the restart did not bring a working agent: {said_stage}", said_stage=_UNREACHED[stage])
