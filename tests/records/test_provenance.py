"""What a run says about where it ran."""

import json
import os

import torch

from convline.records import provenance


def test_environment_is_json_and_names_code_versions_hardware_and_data() -> None:
    content = json.loads(json.dumps(provenance.environment("abc")))
    assert content["data_fingerprint"] == "abc"
    assert content["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert content["hardware"]["cores"] == os.cpu_count()
    assert content["code"].keys() >= {"version", "commit", "dirty", "changes"}
