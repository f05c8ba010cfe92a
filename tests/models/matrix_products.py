"""Matrix products of a program, to count the applications of a network."""

import jax


def matrix_products(jaxpr):
    """Yields the shapes of the results of all matrix products in a jaxpr and in its inner jaxprs."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.outvars[0].aval.shape
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
                yield from matrix_products(getattr(value, "jaxpr", value))
