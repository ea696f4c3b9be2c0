"""Conditions of queries."""


class Predicate:
    """Conditions as keyword arguments <field>__<operator>, joined by & and |, negated by ~."""

    AND, OR, NOT = "and", "or", "not"

    def __init__(self, **kwargs):
        self.op = kwargs.pop("op", Predicate.AND)
        self.conditions = sorted(kwargs.items(), key=lambda item: item[0])

    def __and__(self, other):
        return self._join(Predicate.AND, other)

    def __or__(self, other):
        return self._join(Predicate.OR, other)

    def __invert__(self):
        inverse = Predicate(op=Predicate.NOT)
        inverse.conditions = [self]
        return inverse

    def _join(self, op, other):
        joined = Predicate(op=op)
        for side in (self, other):
            joined.conditions = joined.conditions + (list(side.conditions) if side.op == op else [side])
        return joined

    def to_dict(self, root=None):
        """The condition as the wire has it."""
        root = self if root is None else root
        if isinstance(root, tuple):
            return Predicate.condition_to_dict(root)
        parts = [self.to_dict(c) for c in root.conditions]
        if not parts:
            return []
        if root.op != Predicate.NOT and len(parts) == 1:
            return parts[0]
        return [root.op] + parts

    @classmethod
    def condition_to_dict(cls, condition):
        field, op = condition[0].rsplit("__", 1)
        return [op, {"$type": "keypath", "$val": field}, condition[1]]
