"""Where a program's arguments are program text themselves, so that an input in them would run whatever somebody gives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_TEMPLATE = re.compile(r"\{\{|\{%")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Takes:
    """How a program takes program text."""

    #: the letters, and the long options, behind which it stands
    letters: str = ""
    long: tuple[str, ...] = ()
    #: letters that take an argument of their own, which is none
    others: str = ""
    #: which of the words that are no options is program text, and whether all behind it are; None for none of them
    word: int | None = None
    all_behind: bool = False
    #: options in whose presence no word is
    instead: str = ""
    #: the first word that is no option names a file, and what follows is that one's own
    runs_a_file: bool = False
    #: the letter of an option that names what is run, so that what follows is that one's own
    runs: str = ""


_SHELL = _Takes(letters="c", long=("--command",), others="oO", runs_a_file=True)
_AWK = _Takes(word=0, others="vF", instead="f", letters="e", long=("--source",))
_PROGRAMS: Mapping[str, _Takes] = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "csh", "tcsh"), _SHELL),
    **dict.fromkeys(("python", "pypy"), _Takes(letters="c", others="WX", runs_a_file=True, runs="m")),
    **dict.fromkeys(("perl", "ruby", "Rscript", "lua"), _Takes(letters="eE", others="IrMm", runs_a_file=True)),
    **dict.fromkeys(("node", "deno", "bun"), _Takes(letters="ep", long=("--eval", "--print"), others="r", runs_a_file=True)),
    "php": _Takes(letters="rBRE", long=("--run",), others="dcf", runs_a_file=True),
    "psql": _Takes(letters="coL", long=("--command", "--output", "--log-file"), others="dfFhpPRTUv"),
    **dict.fromkeys(("mysql", "mariadb"), _Takes(letters="e", long=("--execute", "--init-command"), others="uhPSD")),
    "sqlite": _Takes(word=1, long=("-cmd", "--cmd")),
    **dict.fromkeys(("mongosh", "mongo"), _Takes(long=("--eval",))),
    **dict.fromkeys(("clickhouse-client", "clickhouse"), _Takes(letters="q", long=("--query",))),
    "cockroach": _Takes(letters="e", long=("--execute",)),
    **dict.fromkeys(("su", "runuser"), _Takes(letters="c", long=("--command", "--session-command"), others="sgG")),
    "flock": _Takes(letters="c", long=("--command",), others="wE"),
    **dict.fromkeys(("awk", "gawk", "mawk"), _AWK),
    "sed": _Takes(word=0, letters="e", long=("--expression",), instead="f", others="l"),
    "eval": _Takes(word=0, all_behind=True),
    "ssh": _Takes(letters="o", others="bcDEeFIiJLlmpQRSWw", word=1, all_behind=True),
    "env": _Takes(letters="S", long=("--split-string",), others="uC"),
    "ansible": _Takes(letters="a", long=("--args",)),
    "rails": _Takes(word=1),
    "artisan": _Takes(long=("--execute",)),
}
#: programs that start another one, which they are given as words; some only as the word behind the bar says
_STARTERS: Mapping[str, str] = {
    **dict.fromkeys(("env", "sudo", "doas", "nohup", "nice", "timeout", "time", "setsid", "stdbuf", "chroot", "xargs"), ""),
    **dict.fromkeys(("busybox", "npx", "bundle", "ionice", "su", "runuser", "flock", "ssh", "watch", "php"), ""),
    **dict.fromkeys(("docker", "podman", "kubectl", "oc", "nerdctl", "compose", "docker-compose"), "exec|run"),
}


def code_from_input(argv: Sequence[str]) -> str:
    """Return the word of a program's arguments in which a template is, or is a part of, program text; nothing without one.

    Args:
        argv: the program and its arguments, with their templates not filled in.
    """
    if _TEMPLATE.search(argv[0]):
        return argv[0]
    only_if = _STARTERS.get(_bare(argv[0]))
    starts = only_if is not None and (not only_if or any(re.fullmatch(only_if, word) for word in argv))
    for place, word in enumerate(argv):
        takes = _PROGRAMS.get(_bare(word))
        if takes is not None and (place == 0 or starts) and (found := _in_arguments(takes, argv[place + 1 :])):
            return found
    return ""


def _bare(word: str) -> str:
    """Return the name of a program without its folder and version."""
    return re.sub(r"[0-9.]+$", "", word.rpartition("/")[2]) or word


def _in_arguments(takes: _Takes, words: Sequence[str]) -> str:
    """Return the word that is program text and holds a template, of the arguments of one program."""
    texts = (word for word, is_text in _texts(takes, words) if is_text)
    return next((word for word in texts if _TEMPLATE.search(word)), "")


def _texts(takes: _Takes, words: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the arguments of a program, and of each whether it is program text, or an option in which such text stands."""
    number, wanted, instead = 0, False, False
    rest = iter(words)
    for word in rest:
        if word.startswith("-") and word not in ("-", "--"):
            if takes.runs and word[1:2] in takes.runs:
                return
            is_code, attached, takes_next = _option(takes, word)
            instead = instead or word[1:2] in tuple(takes.instead)
            if takes_next or (word[2:] == "" and word[1:2] in tuple(takes.instead)):
                next(rest, "")
            wanted = wanted or (is_code and not attached)
            yield word, is_code and bool(attached)
        elif word != "--":
            first = takes.word if takes.word is not None and not instead else len(words)
            yield word, wanted or number == first or (takes.all_behind and number > first)
            if takes.runs_a_file:
                # a file, or a text: what follows is its own
                return
            number, wanted = number + (not wanted), False


def _option(takes: _Takes, word: str) -> tuple[bool, str, bool]:
    """Return whether program text stands behind an option, what of it is in that word, and whether the next word is its own."""
    name, equals, value = word.partition("=")
    if name in takes.long:
        return True, equals + value, False
    if word.startswith("--"):
        return False, "", False
    for place, letter in enumerate(word[1:], 2):
        if letter in takes.letters:
            return True, word[place:], False
        if letter in takes.others:
            return False, "", place == len(word)
        if not letter.isalnum():
            break
    return False, "", False
