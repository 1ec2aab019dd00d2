# Python's interpreter, its C modules, and callbacks from those into Python, for ever.
import hashlib
import json
import re
import zlib


class Number:
    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return self.value % 17 < other.value % 17


def leaf(n):
    text = json.dumps([{"n": i, "s": "word-%d" % i} for i in range(n)])
    words = re.sub(r"word-(\d+)", lambda match: str(int(match.group(1)) * 2), text)
    numbers = sorted(Number(i * 7919 % 101) for i in range(n))
    digest = hashlib.sha256(zlib.compress(words.encode())).hexdigest()
    return len(digest) + numbers[0].value


def descend(depth, n):
    return leaf(n) if depth == 0 else max([descend(depth - 1, n)], key=lambda x: x)


while True:
    descend(6, 40)
