"""Holds frames to the messages of an AsyncAPI document, and the document to its own schema.

asyncapi.py DOCUMENT.yaml SCHEMA.json OPERATION < FRAMES

Standard input has one frame a line. Prints the names of the operation's messages, then for each frame those that it fits,
each as a line of JSON. Exits with 1 when the document breaks its schema.
"""

import json
import sys

import jsonschema_rs
import yaml

document_file, schema_file, operation = sys.argv[1:]
with open(document_file, encoding="utf-8") as file:
    document = yaml.safe_load(file)
with open(schema_file, encoding="utf-8") as file:
    problems = list(jsonschema_rs.validator_for(json.load(file)).iter_errors(document))
if problems:
    sys.exit("\n".join(f"{problem.instance_path}: {problem.message}" for problem in problems))

names = [message["$ref"].rsplit("/", 1)[1] for message in document["operations"][operation]["messages"]]
forms = {
    name: jsonschema_rs.Draft202012Validator(
        document | {"$ref": f"#/components/messages/{name}/payload"}, validate_formats=True
    )
    for name in names
}
print(json.dumps(names))
for line in sys.stdin:
    frame = json.loads(line)
    print(json.dumps([name for name, form in forms.items() if form.is_valid(frame)]))
