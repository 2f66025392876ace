import java.io.IOException;
import java.io.PrintStream;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** The app of the conformance test, in Java: does what the command file says and prints what it lives through. */
public class Conform extends Castray {
    private static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final String keyFile;
    private volatile int answer = 200;
    private volatile List<Map<String, Object>> windows = List.of();

    Conform(String[] args) {
        super(args[0]);
        version = "1";
        shows = true;
        silenceSeconds = Double.parseDouble(args[1]);
        keyFile = args.length > 3 ? args[3] : null;
    }

    private static synchronized void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object w : words) {
            line.append(line.length() > 0 ? " " : "").append(w);
        }
        out.print(line.append('\n'));
        out.flush();
    }

    private static Object patient(Map<String, Object> event) {
        var patient = resource(event, "patient");
        return patient == null ? "-" : patient.get("id");
    }

    @Override
    protected Answer event(Event e) throws InterruptedException {
        say("event", e.name, e.id, patient(e.event), e.replay ? "replay" : "live");
        if (answer == 1) {
            Thread.sleep(1000);
            say("returned");
            return Answer.FOLLOWS;
        }
        if (answer == 2) {
            throw new IllegalStateException("as told");
        }
        if (answer == 0) {
            CompletableFuture.delayedExecutor(50, TimeUnit.MILLISECONDS).execute(() -> e.answer(Answer.FOLLOWS));
            return null;
        }
        return answer == 200 ? Answer.FOLLOWS : new Answer(answer, "as told");
    }

    @Override
    protected Answer clear(String reason) {
        say("clear", reason);
        return Answer.FOLLOWS;
    }

    @Override
    protected List<Map<String, Object>> shown() {
        return windows;
    }

    @Override
    protected void status(Map<String, Object> status) {
        say("status", status.get("phase"));
    }

    @Override
    protected void admitted(Map<String, Object> hello) {
        say("admitted", hello.get("app"));
    }

    @Override
    protected void outOfSync(String why) {
        say("lost");
    }

    @Override
    protected String key() throws IOException {
        return keyFile == null ? null : (String) map(parse(Files.readString(Path.of(keyFile)))).get("key");
    }

    private static String isJson(String text) {
        try {
            parse(text);
            return "yes";
        } catch (IllegalArgumentException e) {
            return "no";
        }
    }

    private void obey(String command, String words) throws Exception {
        String[] word = words.split("[ ,]", 3);
        try {
            switch (command) {
                case "answer" -> answer = Integer.parseInt(words);
                case "show" -> windows = word.length < 2 ? List.of()
                        : List.of(Map.of("patient", List.of(Map.of("system", word[0], "value", word[1]))));
                case "context" -> {
                    Object current = context().get("current");
                    say("context", current == null ? "none" : patient(map(map(current).get("event"))));
                }
                case "send" -> {
                    var resource = Map.of("resourceType", "Patient", "id", word[2],
                            "identifier", List.of(Map.of("system", "urn:test:mrn", "value", word[2])));
                    say("sent", send(word[0], word[1], List.of(Map.of("key", "patient", "resource", resource)), null).get("id"));
                }
                case "subscribe" -> {
                    subscribe(words.isEmpty() ? null : List.of(words.split(",")));
                    say("subscribed");
                }
                case "parse" -> say("json", isJson(words));
                case "leave" -> close();
                default -> throw new IllegalArgumentException(command);
            }
        } catch (Refused e) {
            say("error", e.code);
        } catch (IOException e) {
            say("error", "lost");
        }
    }

    private void follow(String commands) {
        try (RandomAccessFile f = new RandomAccessFile(commands, "r")) {
            StringBuilder line = new StringBuilder();
            while (true) {
                int b = f.read();
                if (b < 0) {
                    Thread.sleep(20);
                } else if (b != '\n') {
                    line.append((char) b);
                } else {
                    String text = new String(line.toString().getBytes(StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8);
                    line.setLength(0);
                    int at = text.indexOf(' ');
                    obey(at < 0 ? text : text.substring(0, at), at < 0 ? "" : text.substring(at + 1));
                    say("obeyed");
                }
            }
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    public static void main(String[] args) throws InterruptedException {
        Conform app = new Conform(args);
        say("silence", SILENCE_SECONDS);
        Thread commands = new Thread(() -> app.follow(args[2]));
        commands.setDaemon(true);
        commands.start();
        try {
            app.run();
            say("left");
        } catch (Refused e) {
            say("refused", e.code);
        }
    }
}
