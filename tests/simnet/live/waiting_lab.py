"""A lab that waits to be interrupted or killed."""

from __future__ import annotations

import time

from simnet.lab.namespaces import Host, Lab

if __name__ == "__main__":
    with Lab([Host(1e8)]):
        print("ready", flush=True)
        time.sleep(60)
