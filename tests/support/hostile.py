"""Texts from outside that an output could interpret: markup, formulas, control characters, directions of text."""

import os

TEXTS = (
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "</title></svg><iframe src=//x>",
    '=HYPERLINK("http://x","y")',
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "[link](javascript:alert(1))",
    "![picture](http://x/y.png)",
    "a | b\n# heading\n- item",
    "`code` and ``more``",
    "$x^2$ and ${seed}",
    "&lt;b&gt; &#60;",
    "\x1b[31mred\x1b[0m \x07",
    "photo\u202egnp.exe",
    "\u05e9\u05dc\u05d5\u05dd",
    os.fsdecode(b"name\xe9"),
    "]]> -->",
)
HARMLESS = "harmless"
UNSEEN = "\x1b\x07\u202e\udce9"  # characters of these texts that no output may hold as they are
