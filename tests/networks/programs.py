"""Equations of traced programs."""

import jax

# Compiler options for programs that are inspected and never run: unoptimized machine code.
UNRUN = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": True}


def equations(jaxpr):
    """All equations of a jaxpr and of the jaxprs inside it (the body of a loop once)."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def equations_of(function, *args):
    return list(equations(jax.make_jaxpr(function)(*args).jaxpr))


def products_of(function, *args):
    return [equation for equation in equations_of(function, *args) if equation.primitive.name == "dot_general"]
