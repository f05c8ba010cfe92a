"""Replaces a line `names: PACKAGE` on a page by the reference of all names that the package's `__init__` re-exports.

A line `top: PACKAGE` becomes a table of the names with links to their reference. Every public name is therefore
documented, and no other. Names are grouped by the file that defines them, below the first sentence of that file.
"""

import ast
import re
from pathlib import Path

DIRECTIVE = re.compile(r"^(names|top): (\S+)$", re.MULTILINE)


def exports(package):
    """Pairs (module, name) of all re-exports of a package, including modules, in their order in `__init__`."""
    tree = ast.parse(_source(package).read_text())
    # Lazy imports are below `if TYPE_CHECKING`.
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named = [(node.module, alias.asname) for node in imports for alias in node.names if alias.asname]
    return [(module, name) for module, name in named if not name.startswith("_")]


def on_page_markdown(markdown, page, config, files):
    return DIRECTIVE.sub(lambda match: {"names": _reference, "top": _table}[match[1]](match[2]), markdown)


def _table(package):
    rows = ["| name | what it is |", "|---|---|"]
    for module, name in exports(package):
        if _is_whole_module(module, name):
            rows.append(f"| [`{package}.{name}`]({name}.md) | {_summary(f'{module}.{name}')} |")
        else:
            where = _defining_module(module, name)
            sentence = _first_line(where, name).replace("|", "\\|")
            rows.append(f"| [`{package}.{name}`][{where}.{name}] | {sentence} |")
    return "\n".join(rows)


def _defining_module(module, name):
    """Module in which a re-exported name is defined; re-exports of re-exports are followed."""
    onward = {own: file for file, own in exports(module)}
    return _defining_module(onward[name], name) if name in onward else module


def _first_line(module, name):
    for node in ast.parse(_source(module).read_text()).body:
        if getattr(node, "name", None) == name and ast.get_docstring(node):
            return ast.get_docstring(node).split("\n\n")[0].replace("\n", " ")
    return ""


def _reference(package):
    lines, last = [], None
    for module, name in exports(package):
        if _is_whole_module(module, name):
            lines += ["", f"## {name} {{ #{package}.{name} }}", "", _summary(f"{module}.{name}")]
            lines += _items(f"{package}.{name}", f"{module}.{name}", _own_names(f"{module}.{name}"))
            continue
        if module != last:
            lines += ["", f"## {module.rpartition('.')[2].replace('_', ' ')}", "", _summary(module), ""]
            last = module
        lines += _items(package, _defining_module(module, name), [name])
    return "\n".join(lines)


def _items(package, module, names):
    # The heading is the public name; the object is the definition.
    return [
        line
        for name in names
        for line in (f"::: {module}.{name}", "    options:", f'      heading: "{package}.{name}"', "")
    ]


def _source(name):
    path = Path(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _is_whole_module(module, name):
    """Returns True if `from module import name` gives a module, and not a function or class of the same name."""
    if not _source(f"{module}.{name}").exists() or _defines(module, name):
        return False
    return all(own != name or file == module for file, own in exports(module))


def _summary(module):
    return ast.get_docstring(ast.parse(_source(module).read_text())).split("\n\n")[0].replace("\n", " ")


def _own_names(module):
    body = ast.parse(_source(module).read_text()).body
    named = [n.name for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    assigned = [t.id for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]
    return [name for name in (*named, *assigned) if not name.startswith("_") and not name.isupper()]


def _defines(module, name):
    return any(getattr(node, "name", None) == name for node in ast.parse(_source(module).read_text()).body)
