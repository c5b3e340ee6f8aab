"""run.py TABLE.sql VIEW.sql FOLDER…: the view over the log files of folders, as JSON lines.

sqlglot reads both statements as Athena does, and writes the view for DuckDB. The table is filled as Athena's SerDe fills
it: names of columns without regard to case, text for what is declared a string, whatever it is in the record.
"""

import json
import sys
import tempfile
from pathlib import Path

import duckdb
import sqlglot
from sqlglot import exp

table_file, view_file, *folders = sys.argv[1:]
table = sqlglot.parse_one(Path(table_file).read_text(), read="athena")
view = sqlglot.parse_one(Path(view_file).read_text(), read="athena")
columns = {column.name: column.kind for column in table.this.expressions}
partitions = [column.name for column in table.find(exp.PartitionedByProperty).this.expressions]
assert partitions == ["account", "region", "day"], partitions


def value(json_value, kind):
    """A member of a record, as the column of this type has it."""
    if json_value is None:
        return None
    if kind.is_type("struct"):
        members = {name.lower(): member for name, member in json_value.items()}
        return {part.name: value(members.get(part.name), part.args["kind"]) for part in kind.expressions}
    if kind.is_type("array"):
        return [value(element, kind.expressions[0]) for element in json_value]
    assert kind.is_type("text", "varchar"), kind
    return json_value if isinstance(json_value, str) else json.dumps(json_value, ensure_ascii=False)


rows = tempfile.NamedTemporaryFile("w", suffix=".json")
for file in (file for folder in folders for file in sorted(Path(folder).rglob("*.json"))):
    # …/ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/NAME
    parts = file.parts[-7:]
    where = [parts[0], parts[2], "/".join(parts[3:6])] if parts[1:2] == ("CloudTrail",) else [None] * 3
    for record in json.loads(file.read_text())["Records"]:
        members = {name.lower(): member for name, member in record.items()}
        row = {name: value(members.get(name), kind) for name, kind in columns.items()}
        rows.write(json.dumps(row | dict(zip(partitions, where))) + "\n")
rows.flush()

types = {name: kind.sql("duckdb") for name, kind in columns.items()} | dict.fromkeys(partitions, "TEXT")
database = duckdb.connect()
database.execute(
    f"CREATE TABLE {table.this.this.name} AS SELECT * FROM read_json(?, format = 'newline_delimited', columns = {types})",
    [rows.name],
)
database.execute(view.sql("duckdb"))
answer = database.execute(f"SELECT * FROM {view.this.name}")
names = [column[0] for column in answer.description]
for row in answer.fetchall():
    print(json.dumps(dict(zip(names, row))))
