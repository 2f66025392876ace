"""The app of the conformance test, in Python: does what the command file says and prints what it lives through."""

import json
import sys
import threading
import time

import castray


class Conform(castray.App):
    answer, windows = 200, []

    def event(self, event):
        patient = event.resource("patient") or {}
        say("event", event.name, event.id, patient.get("id", "-"), "replay" if event.replay else "live")
        if self.answer == 1:
            time.sleep(1)
            say("returned")
            return 200
        if self.answer == 2:
            raise RuntimeError("as told")
        if self.answer == 0:
            threading.Timer(0.05, event.answer, [200]).start()
            return None
        return (self.answer, "as told") if self.answer != 200 else 200

    def clear(self, reason):
        say("clear", reason)
        return 200

    def shown(self):
        return self.windows

    def status(self, status):
        say("status", status["phase"])

    def key(self):
        if len(sys.argv) < 5:
            return None
        with open(sys.argv[4]) as f:
            return json.load(f)["key"]

    def admitted(self, hello):
        say("admitted", hello["app"])

    def out_of_sync(self, why):
        say("lost")


printing = threading.Lock()


def say(*words):
    with printing:
        sys.stdout.buffer.write((" ".join(map(str, words)) + "\n").encode("utf-8"))
        sys.stdout.buffer.flush()


def obey(app, command, words):
    try:
        if command == "answer":
            app.answer = int(words)
        elif command == "show":
            system, _, value = words.partition(" ")
            app.windows = [{"patient": [{"system": system, "value": value}]}] if value else []
        elif command == "context":
            current = app.context()["current"]
            say("context", castray.Event(current, None).resource("patient")["id"] if current else "none")
        elif command == "send":
            id, event, patient = words.split(" ")
            resource = {"resourceType": "Patient", "id": patient, "identifier": [{"system": "urn:test:mrn", "value": patient}]}
            say("sent", app.send(event, [{"key": "patient", "resource": resource}], id=id)["id"])
        elif command == "subscribe":
            app.subscribe(words.split(",") if words else None)
            say("subscribed")
        elif command == "leave":
            app.close()
    except castray.Error as e:
        say("error", e.code)
    except castray.Lost:
        say("error", "lost")


def follow(app, commands):
    with open(commands, encoding="utf-8") as f:
        line = ""
        while True:
            part = f.readline()
            if not part:
                time.sleep(0.02)
            line += part
            if line.endswith("\n"):
                command, _, words = line[:-1].partition(" ")
                obey(app, command, words)
                say("obeyed")
                line = ""


def main():
    app = Conform(sys.argv[1], version="1", silence=float(sys.argv[2]))
    say("silence", int(castray.SILENCE))

    threading.Thread(target=follow, args=(app, sys.argv[3]), daemon=True).start()
    try:
        app.run()
    except castray.Error as e:
        say("refused", e.code)
        return
    say("left")


main()
