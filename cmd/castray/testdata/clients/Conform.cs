using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;
using System.Threading;
using Castray;

/// <summary>The app of the conformance test, in C#: does what the command file says and prints what it lives
/// through.</summary>
class Conform : App
{
    static readonly Stream output = Console.OpenStandardOutput();
    readonly string keyFile;
    volatile int answer = 200;
    volatile IList windows = new object[0];

    Conform(string[] args) : base(args[0])
    {
        Version = "1";
        Shows = true;
        Silence = double.Parse(args[1], CultureInfo.InvariantCulture);
        keyFile = args.Length > 3 ? args[3] : null;
    }

    static void Say(params object[] words)
    {
        var line = new UTF8Encoding(false).GetBytes(string.Join(" ", words) + "\n");
        lock (output)
        {
            output.Write(line, 0, line.Length);
            output.Flush();
        }
    }

    static object Patient(Dictionary<string, object> body)
    {
        var patient = Json.Resource(body, "patient");
        return patient == null ? "-" : patient["id"];
    }

    public override Answer Event(Event e)
    {
        Say("event", e.Name, e.Id, Patient(e.Body), e.Replay ? "replay" : "live");
        if (answer == 1)
        {
            Thread.Sleep(1000);
            Say("returned");
            return Answer.Follows;
        }
        if (answer == 2)
            throw new InvalidOperationException("as told");
        if (answer == 0)
        {
            ThreadPool.QueueUserWorkItem(_ =>
            {
                Thread.Sleep(50);
                e.Answer(Answer.Follows);
            });
            return null;
        }
        return answer == 200 ? Answer.Follows : new Answer(answer, "as told");
    }

    public override Answer Clear(string reason)
    {
        Say("clear", reason);
        return Answer.Follows;
    }

    public override IList Shown() { return windows; }

    public override void Status(Dictionary<string, object> status) { Say("status", status["phase"]); }

    public override void Admitted(Dictionary<string, object> hello) { Say("admitted", hello["app"]); }

    public override void OutOfSync(string why) { Say("lost"); }

    public override string Key() { return keyFile == null ? null : Json.Text(Json.Map(Json.Parse(File.ReadAllText(keyFile))), "key"); }

    static Dictionary<string, object> Map(params object[] members)
    {
        var m = new Dictionary<string, object>();
        for (var i = 0; i < members.Length; i += 2)
            m[(string)members[i]] = members[i + 1];
        return m;
    }

    static string IsJson(string text)
    {
        try
        {
            Json.Parse(text);
            return "yes";
        }
        catch (FormatException)
        {
            return "no";
        }
    }

    void Obey(string command, string words)
    {
        var word = words.Split(new[] { ' ' }, 3);
        try
        {
            switch (command)
            {
                case "answer":
                    answer = int.Parse(words);
                    break;
                case "show":
                    windows = word.Length < 2 ? new object[0]
                        : new object[] { Map("patient", new[] { Map("system", word[0], "value", word[1]) }) };
                    break;
                case "context":
                    var current = Json.Get(Context(), "current");
                    Say("context", current == null ? "none" : Patient(Json.Object(Json.Map(current), "event")));
                    break;
                case "send":
                    var resource = Map("resourceType", "Patient", "id", word[2],
                        "identifier", new[] { Map("system", "urn:test:mrn", "value", word[2]) });
                    Say("sent", Send(word[0], word[1], new[] { Map("key", "patient", "resource", resource) }, null)["id"]);
                    break;
                case "subscribe":
                    Subscribe(words == "" ? null : words.Split(','));
                    Say("subscribed");
                    break;
                case "parse":
                    Say("json", IsJson(words));
                    break;
                case "leave":
                    Close();
                    break;
                default:
                    throw new ArgumentException(command);
            }
        }
        catch (RefusedException e)
        {
            Say("error", e.Code);
        }
        catch (IOException)
        {
            Say("error", "lost");
        }
    }

    void Follow(string commands)
    {
        using (var f = new FileStream(commands, FileMode.Open, FileAccess.Read, FileShare.ReadWrite))
        {
            var line = new MemoryStream();
            while (true)
            {
                var b = f.ReadByte();
                if (b < 0)
                {
                    Thread.Sleep(20);
                }
                else if (b != '\n')
                {
                    line.WriteByte((byte)b);
                }
                else
                {
                    var text = Encoding.UTF8.GetString(line.ToArray());
                    line.SetLength(0);
                    var at = text.IndexOf(' ');
                    Obey(at < 0 ? text : text.Substring(0, at), at < 0 ? "" : text.Substring(at + 1));
                    Say("obeyed");
                }
            }
        }
    }

    static void Main(string[] args)
    {
        var app = new Conform(args);
        Say("silence", SilenceSeconds);
        new Thread(() => app.Follow(args[2])) { IsBackground = true }.Start();
        try
        {
            app.Run();
            Say("left");
        }
        catch (RefusedException e)
        {
            Say("refused", e.Code);
        }
    }
}
