// Follows the hub at HUB with the key KEY, as an app does that is made with a FHIRcast library: it prints a line for what
// happens, and subscribes again when its socket is closed.
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket; // the library wants one when it is loaded, and older versions of node have none
const { MedplumClient } = await import("@medplum/core");
const { HUB, KEY } = process.env;
const client = new MedplumClient({ baseUrl: new URL(HUB).origin, fhircastHubUrl: HUB, accessToken: KEY });
const say = (what) => console.log(JSON.stringify(what));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function follow() {
  const subscription = await client.fhircastSubscribe("castray", ["Patient-open", "Patient-close"]);
  const connection = client.fhircastConnect(subscription);
  const closed = new Promise((done) => connection.addEventListener("disconnect", done));
  connection.addEventListener("message", ({ payload }) => {
    const entry = payload.event.context.find((c) => c.key === "patient");
    say({ event: payload.event["hub.event"], patient: entry?.resource.id, topic: payload.event["hub.topic"] });
  });
  say({ subscribed: true });
  await closed;
  connection.disconnect();
  say({ lost: true });
}

for (;;) {
  try {
    await follow();
  } catch (error) {
    await pause(100); // the agent has no hub just now
  }
}
