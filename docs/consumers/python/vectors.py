"""Holds pulse.py to the vectors: python3 vectors.py ../../../testdata/vectors"""
import json
import sys
from datetime import datetime

from pulse import Opener, Refused

folder = sys.argv[1] if len(sys.argv) > 1 else "../../../testdata/vectors"
with open(f"{folder}/messages.json", encoding="utf-8") as f:
    file = json.load(f)
now = datetime.fromisoformat(file["now"].replace("Z", "+00:00")).timestamp()
opener = Opener(f"{folder}/public.jwks", f"{folder}/xdr.jwk", plain=True)
wrong = 0
for v in file["messages"]:
    verdict = "good"
    try:
        _, text = opener.open(v["subject"], v["headers"].get("Pulse-Signature", []), v["payload"].encode(), now)
        if text != v["content"]:
            verdict = f"good, with another content: {text}"
    except Refused as refused:
        verdict = refused.verdict
    if verdict != v["verdict"]:
        wrong += 1
        print(f"{v['name']}: {verdict}, want {v['verdict']}")
print(f"{len(file['messages'])} vectors, {wrong} judged otherwise")
sys.exit(1 if wrong else 0)
