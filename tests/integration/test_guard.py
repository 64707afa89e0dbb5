"""The real waguardd with a stand-in agent: crashes, stops, hangs, leases, settings, kills. See tests/standin.py."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standin import StandIn, wait

from waguard import varlink

from .conftest import Make
