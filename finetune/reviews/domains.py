"""What the made reviews speak of: domains, each with its aspects and its remarks about when and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DOMAINS", "Aspect", "Domain"]

Number = Literal["one", "many", "mass"]


@dataclass(frozen=True)
class Aspect:
    """A thing that an opinion is about; `kind` is one of the kinds of adjectives in the lexicon."""

    noun: str
    kind: str
    number: Number


@dataclass(frozen=True)
class Domain:
    """Aspects that one review can mention together, and openings that suit them."""

    aspects: tuple[Aspect, ...]
    openings: tuple[str, ...]


def _aspects(kind: str, text: str) -> tuple[Aspect, ...]:
    """A trailing + marks a plural, a trailing ~ a noun that takes no indefinite article."""
    numbers: dict[str, Number] = {"+": "many", "~": "mass"}
    nouns = [" ".join(noun.split()) for noun in text.split(",")]
    return tuple(Aspect(noun.rstrip("+~"), kind, numbers.get(noun[-1], "one")) for noun in nouns)


def _domain(openings: str, **kinds: str) -> Domain:
    aspects = tuple(aspect for kind, text in kinds.items() for aspect in _aspects(kind, text))
    return Domain(aspects, tuple(" ".join(opening.split()) for opening in openings.split(",")))


_PLACES = "last night, on our second visit, for a Sunday lunch, during the holidays, once again, on a busy evening"
_ARTS = "from the first minute, on a second viewing, this time, in the end, for a debut, as a whole"
_GOODS = (
    "after a month of daily use, out of the box, for everyday work, after the update, in the long run, at this price"
)

DOMAINS: dict[str, Domain] = {
    "restaurant": _domain(
        _PLACES,
        food="soup, steak, curry, pasta~, dumplings+, dessert, bread~, salad, pancakes+, risotto, seafood~, pizza",
        person="waiter, waitress, chef, owner",
        place="dining room, terrace, restaurant",
        any="menu, service~, evening, wine list, meal, music~",
    ),
    "hotel": _domain(
        _PLACES,
        place="room, lobby, hotel, lounge, apartment, suite",
        person="receptionist, manager, porter, housekeeper",
        food="breakfast, buffet, coffee~",
        any="location, view, stay, service~, pool, check-in~",
    ),
    "film": _domain(
        _ARTS,
        story="film, plot, script, dialogue~, ending, story, documentary, comedy",
        any="acting~, soundtrack, cast, camera work~, costumes+, opening scene, performance",
        person="director",
    ),
    "book": _domain(
        _ARTS,
        story="novel, book, first chapter, memoir, story, essays+, final chapter",
        any="prose~, translation, cover, characters+, illustrations+, writing~",
        person="author, narrator",
    ),
    "stage": _domain(
        _PLACES,
        story="play, show, concert, musical, opera",
        any="singing~, choreography~, lighting~, set design, orchestra, encore",
        person="host, conductor",
        place="theater, hall, foyer",
    ),
    "gadget": _domain(
        _GOODS,
        thing="laptop, phone, headphones+, camera, keyboard, printer, tablet, charger, speaker",
        any="screen, battery, design, sound quality~, packaging~, manual",
        person="support agent, seller",
    ),
    "home": _domain(
        _GOODS,
        thing="vacuum cleaner, blender, coffee machine, toaster, washing machine, heater, drill, lamp",
        any="delivery~, design, warranty, instructions+, finish, user guide",
        person="technician, courier",
    ),
    "app": _domain(
        _GOODS,
        thing="app, website, interface, search function, editor, game, map, calendar",
        any="layout, tutorial, latest version, help page, color scheme",
        person="developer, moderator",
    ),
    "course": _domain(
        "this semester, for beginners, week after week, from the first lesson, in the end, as a whole",
        story="course, lecture, workshop, textbook, seminar",
        person="teacher, tutor, instructor, lecturer",
        any="exercises+, syllabus, feedback~, final project, pace~, slides+",
        place="classroom, library",
    ),
    "travel": _domain(
        "on the way back, this summer, on a rainy day, for a family of four, this year, from start to finish",
        place="cabin, train, campsite, ferry, station, village",
        person="driver, guide, conductor, flight attendant",
        any="tour, journey, booking process, beach, landscape, boat trip",
        food="snacks+, on-board meal",
    ),
}
