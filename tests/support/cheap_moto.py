"""moto without the work that it repeats for each request; what it answers stays the same.

For each update of an item moto parses the expression three times, copies the parsed tree for each validation,
looks for the same clauses below each of its nodes, and makes the table of validators anew for each of them.
tests/unit/tools/test_cheap_moto.py holds the answers to those of moto's own code.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from botocore import session
from moto.core import models, responses, utils
from moto.core.base_backend import BaseBackend
from moto.core.serialize import AttributePicker, XFormedAttributePicker
from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.parsing import validators
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node  # type: ignore[attr-defined]
from moto.dynamodb.parsing.expressions import UpdateExpressionParser  # type: ignore[attr-defined]

_Keys = Callable[[Any, Any], Iterable[str]]

ORIGINAL = [
    (place, name, getattr(place, name))
    for place, name in (
        # Each session reads the files that describe AWS, which takes longer than most tests.
        (session, "create_loader"),
        # Of all addresses of AWS, which are thousands: made each time that moto starts.
        (models, "CallbackResponse"),
        (responses, "method_names_from_class"),
        (responses, "camelcase_to_underscores"),
        # Of a service, made for each request.
        (BaseBackend, "urls"),
        (AttributePicker, "get_possible_keys"),
        (XFormedAttributePicker, "get_possible_keys"),
        (UpdateExpressionParser, "make"),
        (validators, "deepcopy"),
        (DepthFirstTraverser, "traverse"),
        (validators.ActionCountValidator, "traverse"),
        (validators.OverlappingPathsValidator, "traverse"),
    )
]
"""What is replaced: where, by which name, and what it has been."""

_EXPRESSIONS = 4096
"""More than the tests of one worker send."""


def install() -> None:
    """Replace what moto repeats, for all of this process."""
    for (place, name, _), cheap in zip(ORIGINAL, _cheap(), strict=True):
        setattr(place, name, cheap)


def _cheap() -> list[Any]:
    return [
        functools.cache(session.create_loader),
        functools.cache(vars(models)["CallbackResponse"]),
        functools.cache(utils.method_names_from_class),
        functools.cache(utils.camelcase_to_underscores),
        property(_urls),
        _kept_by_shape(AttributePicker.get_possible_keys),
        _kept_by_shape(XFormedAttributePicker.get_possible_keys),
        functools.lru_cache(_EXPRESSIONS)(UpdateExpressionParser.make),
        _copy,  # so nothing changes a tree that `make` has kept
        _traverse,
        _examine_root,
        _examine_root,
    ]


def _urls(backend: Any) -> Any:
    what = (type(backend), *backend.url_bases)
    if what not in _known_urls:
        _known_urls[what] = _made_urls.__get__(backend)
    return _known_urls[what]


_known_urls: dict[tuple[Any, ...], Any] = {}
_made_urls: property = vars(BaseBackend)["urls"]


def _kept_by_shape(make: _Keys) -> _Keys:
    """Find the names of a field once: those of one in a dictionary follow from the model alone."""

    def possible_keys(picker: Any, context: Any) -> Iterable[str]:
        if type(context.obj) is not dict or context.shape is None:
            return make(picker, context)
        kept = vars(context.shape).setdefault("_possible_keys", {})
        what = (make, context.key, *picker.alias_providers)
        if what not in kept:
            kept[what] = tuple(make(picker, context))
        return kept[what]  # type: ignore[no-any-return]

    return possible_keys


def _copy(tree: Node) -> Any:
    return pickle.loads(pickle.dumps(tree))


def _examine_root(validator: Any, root: Node) -> Node:
    """What these two find below the root comprises what they would find below any other node.

    Of several findings moto names the innermost.
    """
    try:
        for processor in validator._processing_map().values():
            processor(root)
    except MockValidationException:
        return validator.traverse_node_recursively(root)
    return root


def _traverse(traverser: Any, root: Any) -> Any:
    """Process a tree as moto does, and ask once which processor a class of nodes has."""
    processors = traverser._processing_map()
    prepare = traverser.pre_processing_of_child
    known: dict[type, Callable[[Any], Any] | None] = {}

    def walk(node: Any, position: int) -> Any:
        kind, parent = type(node), node.parent
        if kind not in known:
            known[kind] = next((made for base, made in processors.items() if issubclass(kind, base)), None)
        for place, child in enumerate(node.children or ()):
            prepare(node, place)
            if Node in type(child).__mro__:  # what isinstance does is slow for an abstract class
                walk(child, place)
        process = known[kind]
        return node if process is None else _put(process(node), parent, position)

    return walk(root, -1)


def _put(processed: Any, parent: Any, position: int) -> Any:
    processed.parent = parent
    if parent:
        parent.children[position] = processed
    return processed
