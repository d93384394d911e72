"""`python -m traces.capture script.py`: runs a script as it is, and records its denoiser."""

from __future__ import annotations

from traces.capture.script import main

if __name__ == "__main__":
    main()
