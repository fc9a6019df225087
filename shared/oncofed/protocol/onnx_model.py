"""In which form does a model reach programs that know nothing of oncofed? As ONNX, from markers to risks.

One input, `markers`: (patients, markers) float64, in the schema's order and units, as a table has them; not a number
(NaN) is "not measured", and a category is its place among the marker's categories, from 0. So all that comes before
the weights is in the file: the public constants, the cut at the largest value, categories, missing flags.

Outputs, all float64:

log_hazard_ratio   (patients, endpoints), against the reference patient; positive is a worse prognosis.
cumulative_hazard  (patients, endpoints, intervals), until the end of each interval; between two ends it runs straight.
event_free         (patients, endpoints, intervals), the probability that no event has come by then: exp(-cumulative).

Of endpoints that compete, `event_free` is of a world without the others; risks follow from the hazards of all of them.

Nothing of it refuses a value beyond its plausible range, as reading a table does. Whatever follows from the schema
alone is computed in the same order as `cohort.encoding` computes it; sums of products may differ by rounding.

Promise: the same model gives the same bytes. Imports no torch.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oncofed.cohort.encoding import Role, columns
from oncofed.cohort.schema import StudySchema
from oncofed.protocol.onnx_form import DOUBLE, Value, constant, model_file, node
from oncofed.protocol.plan import ModelSpec, StudyPlan

FloatArray = NDArray[np.float64]

_ABOUT = (
    "Prognosis of cancer patients. Input: markers in the order and units of the metadata 'markers', NaN where not "
    "measured, a category as its place among the marker's categories from 0. Research software, no medical device."
)


@dataclass
class _Graph:
    """Operations and constants while they are put together."""

    nodes: list[bytes] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)

    def add(self, operation: str, *inputs: str, name: str = "", **attributes: int | list[int]) -> str:
        """The name of what the operation gives."""
        name = name or f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(node(operation, inputs, name, **attributes))
        return name

    def keep(self, values: FloatArray | float | list[float]) -> str:
        return self._keep(np.asarray(values, dtype=np.float64))

    def places(self, values: int | list[int]) -> str:
        return self._keep(np.asarray(values, dtype=np.int64))

    def _keep(self, values: FloatArray | NDArray[np.int64]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(constant(name, values))
        return name


def onnx_model(spec: ModelSpec, schema: StudySchema, weights: FloatArray, *, metadata: Mapping[str, str]) -> bytes:
    """The bytes of the file.

    weights   (parameters,) in the order in which they travel. schema: of the plan; markers without any are refused.
    metadata  further texts to keep in it, such as the plan's hash.
    """
    assert weights.shape == (spec.parameters,)
    parts, graph = _parts(spec, weights), _Graph()
    inputs = _encoded(graph, schema)
    ratio = graph.add("Identity", _log_hazard_ratio(graph, inputs, parts), name="log_hazard_ratio")
    spread = graph.add("Unsqueeze", ratio, graph.places([2]))
    log_hazard = graph.add("Add", spread, graph.keep(_log_baseline(spec, parts)[None]))
    if spec.time_shapes is not None:
        log_hazard = graph.add("Add", log_hazard, _time_shapes(graph, inputs, spec, parts))
    hazard = graph.add("Exp", log_hazard)
    gathered = graph.add("CumSum", hazard, graph.places(2), name="cumulative_hazard")
    graph.add("Exp", graph.add("Neg", gathered), name="event_free")
    endpoints, intervals = len(spec.endpoints), spec.grid.intervals
    whole = ("patients", endpoints, intervals)
    return model_file(
        "prognosis",
        nodes=graph.nodes,
        constants=graph.constants,
        inputs=[Value("markers", ("patients", len(schema.markers)), "see the metadata 'markers'")],
        outputs=[
            Value("log_hazard_ratio", ("patients", endpoints), "against the reference patient; positive is worse"),
            Value("cumulative_hazard", whole, "until the end of each interval of 'interval_bounds'"),
            Value("event_free", whole, "probability that no event has come by the end of each interval"),
        ],
        about=_ABOUT,
        metadata={**_told(spec, schema), **metadata},
    )


def onnx_metadata(plan: StudyPlan) -> dict[str, str]:
    """What names the model: by plan and schema it belongs to its safetensors file."""
    return {"plan_hash": plan.hash, "schema_hash": plan.schema_hash, "study": plan.study}


def _told(spec: ModelSpec, schema: StudySchema) -> dict[str, str]:
    markers = [
        {"name": each.name, "kind": each.kind.value, "unit": each.unit, "categories": list(each.categories)}
        for each in schema.markers
    ]
    found = {
        "markers": markers,
        "endpoints": list(spec.endpoints),
        "interval_bounds": list(spec.grid.bounds),
        "time_unit": spec.grid.unit,
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in found.items()}


# --- the schema's constants


def _encoded(graph: _Graph, schema: StudySchema) -> str:
    """(patients, columns), as `cohort.encoding.encode` gives them."""
    place = {marker.name: number for number, marker in enumerate(schema.markers)}
    listed = list(enumerate(columns(schema)))
    of_value = [each for each in listed if each[1].role is Role.VALUE]
    of_category = [each for each in listed if each[1].role is Role.CATEGORY]
    of_marker = [each for each in listed if each[1].role is Role.MISSING and each[1].source in place]
    of_modality = [each for each in listed if each[1].role is Role.MISSING and each[1].source not in place]
    unmeasured = graph.add("IsNaN", "markers")
    flags = graph.add("Cast", unmeasured, to=DOUBLE)
    blocks = []
    if of_value:
        blocks.append(_values(graph, schema, [place[each.source] for _, each in of_value], unmeasured))
    if of_category:
        codes = [schema.markers[place[each.source]].categories.index(each.category) for _, each in of_category]
        given = graph.add("Gather", "markers", graph.places([place[each.source] for _, each in of_category]), axis=1)
        blocks.append(
            graph.add("Cast", graph.add("Equal", given, graph.keep([float(code) for code in codes])), to=DOUBLE)
        )
    if of_marker:
        blocks.append(graph.add("Gather", flags, graph.places([place[each.source] for _, each in of_marker]), axis=1))
    for _, each in of_modality:
        members = [number for number, marker in enumerate(schema.markers) if marker.modality.value == each.source]
        whole = graph.add("Gather", flags, graph.places(members), axis=1)
        blocks.append(graph.add("ReduceMin", whole, axes=[1], keepdims=1))
    order = [number for number, _ in (*of_value, *of_category, *of_marker, *of_modality)]
    together = graph.add("Concat", *blocks, axis=1)
    sorted_ = graph.add("Gather", together, graph.places(np.argsort(order).tolist()), axis=1)
    return graph.add("Mul", sorted_, graph.keep([each.weight for _, each in listed]))


def _values(graph: _Graph, schema: StudySchema, places: list[int], unmeasured: str) -> str:
    """Standardised and cut, 0 where not measured."""
    markers, at = [schema.markers[each] for each in places], graph.places(places)
    limit = schema.largest_encoded_value
    less = graph.add("Sub", graph.add("Gather", "markers", at, axis=1), graph.keep([each.centre for each in markers]))
    over = graph.add("Div", less, graph.keep([each.scale for each in markers]))
    cut = graph.add("Clip", over, graph.keep(-limit), graph.keep(limit))
    return graph.add("Where", graph.add("Gather", unmeasured, at, axis=1), graph.keep(0.0), cut)


# --- the weights


@dataclass(frozen=True, eq=False)
class _Parts:
    """correction (endpoints, intervals). shapes (endpoints, functions, entities). linear (endpoints, columns).

    layers  of the ReLU network, (outputs, inputs) each.
    """

    correction: FloatArray
    shapes: FloatArray | None
    linear: FloatArray | None
    layers: tuple[FloatArray, ...]


def _parts(spec: ModelSpec, weights: FloatArray) -> _Parts:
    """In the order in which they travel (`survival.network.PrognosisNetwork`)."""
    endpoints, taken = len(spec.endpoints), 0

    def take(*shape: int) -> FloatArray:
        nonlocal taken
        begin, taken = taken, taken + int(np.prod(shape))
        return weights[begin:taken].reshape(shape)

    correction = take(endpoints, spec.grid.intervals)
    asked = spec.time_shapes
    shapes = None if asked is None else take(endpoints, asked.functions, asked.entities)
    linear = take(endpoints, spec.columns) if spec.linear_branch else None
    sizes = (spec.columns, *spec.hidden_units, endpoints) if spec.hidden_units else ()
    layers = tuple(take(outputs, inputs) for inputs, outputs in itertools.pairwise(sizes))
    assert taken == spec.ratio_ends  # what comes behind are comparators, of which the model does not know
    return _Parts(correction, shapes, linear, layers)


def _log_hazard_ratio(graph: _Graph, inputs: str, parts: _Parts) -> str:
    """(patients, endpoints)."""
    found = [] if parts.linear is None else [graph.add("MatMul", inputs, graph.keep(parts.linear.T))]
    if parts.layers:
        units = inputs
        for number, layer in enumerate(parts.layers):
            units = graph.add("MatMul", graph.add("Relu", units) if number else units, graph.keep(layer.T))
        found.append(units)
    return found[0] if len(found) == 1 else graph.add("Add", *found)


def _log_baseline(spec: ModelSpec, parts: _Parts) -> FloatArray:
    """(endpoints, intervals): public rate and learned correction."""
    public = np.log(np.asarray(spec.baseline_hazard)[:, None] * spec.grid.widths)
    return np.asarray(public + spec.baseline_weight * parts.correction)


def _time_shapes(graph: _Graph, inputs: str, spec: ModelSpec, parts: _Parts) -> str:
    """(patients, endpoints, intervals): the course of each patient's tumour entity."""
    asked = spec.time_shapes
    assert asked is not None
    assert parts.shapes is not None
    by_entity = asked.weight * np.einsum("pfe,fk->epk", parts.shapes, asked.on(spec.grid))
    if not asked.entity_columns:
        return graph.keep(by_entity)
    own = graph.add("Gather", inputs, graph.places(list(asked.entity_columns)), axis=1)
    is_other = graph.add("Cast", graph.add("Not", graph.add("Equal", own, graph.keep(0.0))), to=DOUBLE)
    any_other = graph.add("ReduceMax", is_other, axes=[1], keepdims=1)
    reference = graph.add("Sub", graph.keep(1.0), any_other)
    which = graph.add("Concat", reference, is_other, axis=1)
    table = graph.keep(by_entity.reshape(asked.entities, -1))
    shape = graph.places([0, len(spec.endpoints), spec.grid.intervals])  # 0: as many patients as there are
    return graph.add("Reshape", graph.add("MatMul", which, table), shape)
