"""Shows the comment beside a field of a record, or above an alias of a type, as its description."""

import re

import griffe


class CommentsAsDocstrings(griffe.Extension):
    """Reads `name: type  # comment`, and the comment lines above `Name = ...` in a module."""

    def on_attribute_instance(self, *, attr, **kwargs):
        if attr.docstring or not attr.lineno:
            return
        lines = attr.lines_collection[attr.filepath]
        own = re.search(r"  # (.*)$", lines[attr.endlineno - 1])
        comment = own[1] if own else ""
        if not comment and attr.parent.is_module:
            above = attr.lineno - 2
            while above >= 0 and lines[above].startswith("# "):
                comment = f"{lines[above][2:]} {comment}"
                above -= 1
        if comment:
            comment = re.sub(r"(\[[^]]*\])", r"`\1`", comment)  # a shape, not a link
            attr.docstring = griffe.Docstring(comment.strip(), parent=attr)
