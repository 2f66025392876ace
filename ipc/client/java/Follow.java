import java.util.List;

/** A viewer that follows the patient: it prints what it would show. */
public class Follow extends Castray {
    Follow() {
        super("follow-java");
        events = List.of("Patient-open"); // of other opens it is told as a Patient-open, and of every close as a clear
    }

    @Override
    protected Answer event(Event e) {
        var patient = e.resource("patient");
        if (patient == null) {
            return new Answer(500, "an open that names no patient");
        }
        System.out.println("patient " + patient.get("id"));
        return Answer.FOLLOWS;
    }

    @Override
    protected Answer clear(String reason) {
        System.out.println("no patient");
        return Answer.FOLLOWS;
    }

    @Override
    protected void outOfSync(String why) {
        System.out.println("OUT OF SYNC, this may be the wrong patient: " + why);
    }

    public static void main(String[] args) throws Exception {
        new Follow().run();
    }
}
