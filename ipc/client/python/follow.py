#!/usr/bin/env python3
"""A viewer that follows the patient: it prints what it would show."""

import castray


class Viewer(castray.App):
    def event(self, event):
        patient = event.resource("patient")
        if patient is None:
            return 500, "an open that names no patient"
        self.show("patient " + patient.get("id", "without id"))
        return 200

    def clear(self, reason):
        self.show("no patient")
        return 200

    def out_of_sync(self, why):
        self.show("OUT OF SYNC, this may be the wrong patient: " + why)

    def show(self, words):
        print(words, flush=True)


if __name__ == "__main__":
    # Of other opens it is told as a Patient-open, and of every close as a clear.
    Viewer("follow-python", events=["Patient-open"]).run()
