"""The manual pages: those of the programs from their parsers, waguard.yaml(5) from the settings, the rest from the catalogues.

`python3 -m waguard.reference man DIRECTORY`. What no parser says (files, environment, signals) stands in ``about.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from waguard import __version__
from waguard.reference import about, configuration
from waguard.reference.commands import Command, Operand, Option, Program, doctor, exporter, waguardctl, waguardd
from waguard.reference.roff import Page, bold, italic


def pages(date: str) -> tuple[Page, ...]:
    """All of them. ``date``: YYYY-MM-DD or ""."""
    return (_waguardctl(waguardctl(), date), *(_program(found, date) for found in (waguardd(), exporter(), doctor())),
            _yaml(date), _metrics(date), _findings(date))


def _page(name: str, section: int, date: str) -> Page:
    return Page(name, section, about.SUMMARIES[name], date, __version__)


def _end(page: Page) -> str:
    """What every page ends with."""
    known = about.PROGRAMS.get(page.name, about.Program())
    for title, found in (("ENVIRONMENT", known.environment), ("FILES", known.files)):
        if found:
            page.heading(title)
            page.items(found)
    page.heading("SEE ALSO")
    others = [*(f"{name}({section})" for name, section in about.SECTIONS.items() if name != page.name), *known.see_also]
    page.text(", ".join(f"`{name[:-3]}`{name[-3:]}" for name in others))
    return page.name


def _program(program: Program, date: str) -> Page:
    """A program without verbs."""
    command, known = program.command, about.PROGRAMS[program.name]
    page = _page(program.name, 8, date)
    page.heading("SYNOPSIS")
    page.usage(command.name, usage(command))
    page.heading("DESCRIPTION")
    page.text(command.help, *known.description)
    page.heading("OPTIONS")
    _options(page, command.options)
    for title, paragraphs in known.sections:
        page.heading(title)
        page.text(*paragraphs)
    page.heading("EXIT STATUS")
    page.text(command.exit_status)
    page.heading("EXAMPLES")
    page.code("\n".join(known.examples))
    _end(page)
    return page


def _waguardctl(program: Program, date: str) -> Page:
    known = about.PROGRAMS[program.name]
    page = _page(program.name, 1, date)
    page.heading("SYNOPSIS")
    page.usage(program.name, [italic("COMMAND"), f"[{italic('OPERAND')}]", f"[{italic('OPTION')}]..."])
    page.usage(program.name, [bold("--version")])
    page.heading("DESCRIPTION")
    page.text(program.command.help, *known.description)
    page.heading("COMMANDS")
    page.items((verb.name, _sentence(verb.help)) for verb in program.verbs)
    for verb in program.verbs:
        _verb(page, program, verb)
    page.heading("OPTIONS")
    page.text("Every command takes these as well:")
    _options(page, program.common)
    page.text("Without a command there are:")
    _options(page, (option for option in program.command.options if option not in program.common))
    for title, paragraphs in known.sections:
        page.heading(title)
        page.text(*paragraphs)
    _end(page)
    return page


def _verb(page: Page, program: Program, verb: Command) -> None:
    own = tuple(option for option in verb.options if option not in program.common)
    page.subheading(f"{program.name} {verb.name}")
    page.usage(f"{program.name} {verb.name}", usage(verb, program.common))
    page.text(_sentence(verb.help))
    for operand in verb.operands:
        page.item(_operand(operand), _sentence(operand.help))
    _options(page, own)
    page.text(f"Exit status {verb.exit_status}")
    if verb.examples:
        page.text("Examples:")
        page.code("\n".join(verb.examples))


def usage(command: Command, common: Iterable[Option] = ()) -> Iterator[str]:
    """The words of a synopsis, in roff: operands first, as people type them, rivals in one bracket."""
    for operand in command.operands:
        yield _operand(operand) if operand.required else f"[{_operand(operand)}]"
    seen: set[str] = set()
    left = tuple(common)
    for option in command.options:
        if option.name in seen or option in left or option.ends:
            continue
        group = [other for other in command.options if other.name == option.name or other.name in command.rivals(option)]
        seen.update(other.name for other in group)
        yield "[" + r"\~|\~".join(_short(other) for other in group) + "]" + ("..." if option.repeated else "")
    if left:
        yield f"[{italic('OPTION')}]..."


def _operand(operand: Operand) -> str:
    if operand.choices:
        return "|".join(bold(choice) for choice in operand.choices)
    return italic(operand.value)


def _short(option: Option) -> str:
    return bold(option.name) + _value(option, r"\~")


def _value(option: Option, between: str) -> str:
    if not option.value:
        return ""
    value = "|".join(bold(choice) for choice in option.choices) if option.choices else italic(option.value)
    return f"{between}[{value}]" if option.optional_value else f"{between}{value}"


def _options(page: Page, options: Iterable[Option]) -> None:
    for option in options:
        page.item(", ".join(bold(flag) for flag in option.flags) + _value(option, " "), _sentence(option.help))


def _sentence(text: str) -> str:
    return _capital(text) + ("" if text.endswith(".") else ".")


def _yaml(date: str) -> Page:
    page = _page("waguard.yaml", 5, date)
    page.heading("SYNOPSIS")
    page.text("`/etc/waguard/waguard.yaml`", "`/etc/waguard/conf.d/*.yaml`")
    page.heading("DESCRIPTION")
    page.text(*about.YAML)
    page.heading("VALUES")
    for kind, text in configuration.KINDS.items():
        page.item(italic(kind), _sentence(text))
    page.text(*configuration.RULES)
    page.heading("SETTINGS")
    for section in configuration.sections():
        page.subheading(section.name)
        page.text(section.about)
        for one in section.settings:
            facts = f"{_capital(one.kind)}{f': {one.limits}' if one.limits else ''}; default `{one.default}`; a change counts " \
                    f"{one.taken.value}."
            page.item(bold(one.name), _sentence(one.meaning), facts)
    page.heading("EXAMPLES")
    page.text("In a file `/etc/waguard/conf.d/site.yaml`:")
    page.code(about.YAML_EXAMPLE)
    _end(page)
    return page


def _capital(text: str) -> str:
    return text if text.startswith("waguard") else text[0].upper() + text[1:]


def _metrics(date: str) -> Page:
    from waguard.exporter import reference

    values = reference.closed()
    page = _page("waguard-metrics", 7, date)
    page.heading("DESCRIPTION")
    page.text(*about.METRICS)
    page.heading("METRICS")
    for row in reference.rows():
        page.item(bold(row.name) + (rf"\ {{{', '.join(italic(label) for label in row.labels)}}}" if row.labels else ""),
                  row.help, f"{_capital(row.kind)}; its value: {row.unit}. Left out when: {row.absent}.")
    page.heading("LABELS")
    for label in dict.fromkeys(label for row in reference.rows() for label in row.labels):
        if label == "finding":
            text = "Every id in waguard-findings(7)."
        elif label in reference.OPEN:
            text = _sentence(reference.OPEN[label])
        else:
            text = ", ".join(f"`{value}`" for value in values[label]) + "."
        page.item(italic(label), text)
    page.heading("EXAMPLES")
    page.code(about.METRICS_EXAMPLE)
    _end(page)
    return page


def _findings(date: str) -> Page:
    from waguard.ctl.doctor import CAUSES
    from waguard.judge.catalogue import CATALOGUE, fill

    page = _page("waguard-findings", 7, date)
    page.heading("DESCRIPTION")
    page.text(*about.FINDINGS)
    for cause in (1, 2, 3, 4, 0):
        page.heading(CAUSES[cause])
        for entry in sorted((entry for entry in CATALOGUE.values() if entry.cause == cause), key=lambda entry: entry.id):
            blocks = ", and a snapshot asked for now would fail" if entry.blocks else ""
            link = f" Broken link: {entry.link.value}." if entry.link.value else ""
            page.item(bold(entry.id), f"{_capital(entry.severity.value)}{blocks}: {entry.summary}.", entry.meaning + link,
                      f"Remedy: {fill(entry.remedy, {})}")
    _end(page)
    return page
