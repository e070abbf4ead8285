"""Which of a reference's weights each of ours is made of, as the weight map beside the spec says.

A rule of `[weights.NAME]` goes from our names to theirs; here it is read the other way, from the names that the
reference has. What no rule reaches has the same name on both sides.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"\{(\w+)([+-]\d+)?\}")

Numbers = dict[str, int]


@dataclass(frozen=True)
class Member:
    """One weight: our name, and the names of the reference's that are joined along the first axis; `transposed` where
    the reference stores the matrix so."""

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Rule:
    ours: str
    theirs: tuple[str, ...]
    transposed: bool


def matched(pattern: str, name: str) -> Numbers | None:
    """The numbers with which the pattern is the name."""
    parts, at = [], 0
    for place in NUMBER.finditer(pattern):
        parts += [re.escape(pattern[at : place.start()]), r"(\d+)"]
        at = place.end()
    found = re.fullmatch("".join(parts) + re.escape(pattern[at:]), name)
    if found is None:
        return None
    numbers: Numbers = {}
    for (variable, offset), digits in zip(NUMBER.findall(pattern), found.groups(), strict=True):
        number = int(digits) - int(offset or 0)
        if number < 0 or numbers.setdefault(variable, number) != number:
            return None
    return numbers


def filled(pattern: str, numbers: Numbers) -> str:
    return NUMBER.sub(lambda place: str(numbers[place[1]] + int(place[2] or 0)), pattern)


def rule(ours: str, recipe: Any) -> Rule:
    match recipe:
        case str():
            return Rule(ours, (recipe,), False)
        case {"transpose": str(theirs)} if len(recipe) == 1:
            return Rule(ours, (theirs,), True)
        case {"concat": [*theirs], "axis": 0} if len(recipe) == 2:
            return Rule(ours, tuple(theirs), False)
    raise AssertionError(f"{ours}: no golden needed {recipe} yet")


def rules(spec: Path, name: str) -> list[Rule]:
    """The map called `name` beside the spec; an empty name is no map."""
    if not name:
        return []
    tables = tomllib.loads(spec.with_suffix(".toml").read_text())
    return [rule(ours, recipe) for ours, recipe in tables["weights"][name].items()]


def members(spec: Path, name: str, theirs: list[str]) -> list[Member]:
    """Of each of our weights its member, in the reference's order."""
    map = rules(spec, name)
    result, used, idle = [], set(), set(rule.ours for rule in map)
    for first in theirs:
        for place, rule in enumerate(map):
            numbers = matched(rule.theirs[0], first)
            if numbers is None:
                continue
            ours = filled(rule.ours, numbers)
            if any(matched(earlier.ours, ours) is not None for earlier in map[:place]):
                continue  # the first rule that matches our name wins
            member = Member(ours, tuple(filled(part, numbers) for part in rule.theirs), rule.transposed)
            result.append(member)
            used.update(member.theirs)
            idle.discard(rule.ours)
            break
    assert not idle, f"rules of {spec} that reach nothing: {sorted(idle)}"
    result += [Member(name, (name,)) for name in theirs if name not in used]
    return sorted(result, key=lambda member: theirs.index(member.theirs[0]))
