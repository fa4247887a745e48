using Vestibule.Unity;
using static Checks;

internal static class LifeChecks
{
    private const long Second = 1_000_000_000;
    private const int Signals = 10;

    /// <summary>Every sequence of six signals out of ten, with focus counting and not: 2 million lives.</summary>
    public static void EveryOrder()
    {
        foreach (bool focusMatters in new[] { false, true })
        {
            var sequence = new int[6];
            do
            {
                Live(sequence, focusMatters);
            }
            while (Next(sequence));
        }
    }

    public static void Reasons()
    {
        var life = new LifeSwitch(true, 3 * Second);
        Same(LifeOrder.Start, life.Begin(0), "begin");
        Same(LifeOrder.Pause, life.Focused(false, 1), "focus goes first");
        Same("pause", life.Reason, "reason of focus");
        Same(LifeOrder.None, life.AppPaused(true, 2), "pause follows");
        Same(LifeOrder.None, life.Focused(true, 3), "focus is back, the app is still paused");
        Same(LifeOrder.Resume, life.AppPaused(false, 4), "awake");
        Same(LifeOrder.None, life.Worn(false, 5), "off the head");
        Same(LifeOrder.Pause, life.Worn(false, 5 + (3 * Second)), "still off");
        Same("sleep", life.Reason, "reason of the head");
        Same(LifeOrder.Resume, life.Worn(true, 6 + (3 * Second)), "on again");

        var asleep = new LifeSwitch(true, 0);
        Same(LifeOrder.None, asleep.AppPaused(true, 0), "before it begins");
        Same(LifeOrder.None, asleep.Begin(1), "not while paused");
        Same(LifeOrder.Start, asleep.AppPaused(false, 2), "a first Start, no Resume");
        Same(LifeOrder.Stop, asleep.End(), "end");
        Same(LifeOrder.None, asleep.End(), "end again");
        Same(LifeOrder.Start, asleep.Begin(3), "and begin again");
    }

    public static void Flicker()
    {
        var life = new LifeSwitch(true, 3 * Second);
        life.Begin(0);
        for (long t = 0; t < 60 * Second; t += Second / 10)
        {
            Same(LifeOrder.None, life.Worn(t / Second % 3 == 2, t), "a sensor that flickers");
        }
    }

    public static void QuitIsTheEnd()
    {
        var life = new LifeSwitch(true, 0);
        life.Begin(0);
        Same(LifeOrder.Stop, life.Quit(), "quit");
        Same(LifeOrder.None, life.Quit(), "OnDestroy after OnApplicationQuit");
        Same(LifeOrder.None, life.AppPaused(true, 1), "late pause");
        Same(LifeOrder.None, life.AppPaused(false, 2), "late resume");
        Same(LifeOrder.None, life.Begin(3), "late begin");
    }

    // A plain model beside it: what is allowed follows from the newest of each signal.
    private static void Live(int[] sequence, bool focusMatters)
    {
        var life = new LifeSwitch(focusMatters, 0);
        bool wanted = false, paused = false, focused = true, worn = true, over = false;
        bool running = false, open = false;
        long t = 0;
        foreach (int signal in sequence)
        {
            t++;
            LifeOrder order;
            switch (signal)
            {
                case 0: order = life.Begin(t); wanted = true; break;
                case 1: order = life.End(); wanted = false; break;
                case 2: order = life.AppPaused(true, t); paused = true; break;
                case 3: order = life.AppPaused(false, t); paused = false; break;
                case 4: order = life.Focused(false, t); focused = false; break;
                case 5: order = life.Focused(true, t); focused = true; break;
                case 6: order = life.Worn(false, t); worn = false; break;
                case 7: order = life.Worn(true, t); worn = true; break;
                case 8: order = life.Quit(); over = true; break;
                default: order = life.Worn(worn, t); break;  // a frame passes
            }
            switch (order)
            {
                case LifeOrder.Start:
                    That(!open, "Start, and it was started");
                    open = running = true;
                    break;
                case LifeOrder.Pause:
                    That(running, "Pause, and it did not run");
                    running = false;
                    break;
                case LifeOrder.Resume:
                    That(open && !running, "Resume, and it was not paused");
                    running = true;
                    break;
                case LifeOrder.Stop:
                    That(open, "Stop, and it was not started");
                    open = running = false;
                    break;
            }
            bool allowed = wanted && !paused && worn && (focused || !focusMatters) && !over;
            if (allowed != running || running != life.Running)  // words are made for a failure only: there are millions
            {
                Same(allowed, running, "after signal " + signal + " of " + string.Join(" ", sequence));
                Same(running, life.Running, "Running");
            }
        }
    }

    private static bool Next(int[] sequence)
    {
        for (int i = 0; i < sequence.Length; i++)
        {
            if (++sequence[i] < Signals)
            {
                return true;
            }
            sequence[i] = 0;
        }
        return false;
    }
}
