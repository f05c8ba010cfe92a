"""What a traced program is made of."""

import jax
from jax.extend.core import jaxprs_in_params


def equations(jaxpr):
    """All equations of a jaxpr, those of the programs inside it too (a loop's body once)."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def equations_of(function, *args):
    return list(equations(jax.make_jaxpr(function)(*args).jaxpr))


def products_of(function, *args):
    return [equation for equation in equations_of(function, *args) if equation.primitive.name == "dot_general"]
