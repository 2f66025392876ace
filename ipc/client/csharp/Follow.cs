using System;
using System.Collections.Generic;

/// <summary>A viewer that follows the patient: it prints what it would show.</summary>
class Follow : Castray.App
{
    // Of other opens it is told as a Patient-open, and of every close as a clear.
    Follow() : base("follow-csharp") { Events = new[] { "Patient-open" }; }

    public override Castray.Answer Event(Castray.Event e)
    {
        var patient = e.Resource("patient");
        if (patient == null)
            return new Castray.Answer(500, "an open that names no patient");
        Console.WriteLine("patient " + patient["id"]);
        return Castray.Answer.Follows;
    }

    public override Castray.Answer Clear(string reason)
    {
        Console.WriteLine("no patient");
        return Castray.Answer.Follows;
    }

    public override void OutOfSync(string why)
    {
        Console.WriteLine("OUT OF SYNC, this may be the wrong patient: " + why);
    }

    static void Main() { new Follow().Run(); }
}
