def offset_of(kind: type, name: str, /) -> int:
    """At which offset the field `name` lies in objects of the Struct `kind`, whose fields may then be read and copied
    as they lie there. Raises `ImportError` where they may not."""
