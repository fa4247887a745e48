using System;
using System.Collections.Generic;
using Vestibule.Unity;
using static Checks;

internal static class SourceChecks
{
    private const long Second = 1_000_000_000;

    public static void GuardSwitchesOff()
    {
        var guard = new SourceGuard("gaze");
        var told = new List<string>();
        for (int i = 0; i < 20 && guard.On; i++)
        {
            string words = guard.Failed(new InvalidOperationException("the SDK is gone"));
            if (words != null)
            {
                told.Add(words);
            }
        }
        That(!guard.On, "switched off");
        Same(SourceGuard.MostInARow, guard.Failures, "after so many in a row");
        Same(2, told.Count, "told at the first and at the end");
        That(told[0].Contains("'gaze'") && told[0].Contains("the SDK is gone"), told[0]);
        That(told[1].Contains("switched off"), told[1]);
    }

    public static void GuardForgives()
    {
        var guard = new SourceGuard("hands");
        int told = 0;
        for (int i = 1; guard.On; i++)
        {
            told += guard.Failed(new Exception("now and then")) != null ? 1 : 0;
            guard.Succeeded();
            That(i <= SourceGuard.MostInAll, "not for ever");
        }
        Same(SourceGuard.MostInAll, guard.Failures, "one that always fails again goes too");
        Same(2, told, "told twice in all");
    }

    public static void ButtonsChangesOnly()
    {
        var seen = new Sink();
        var left = new ButtonChanges(1, seen);
        left.Observe(1, false, false, 0f, 0f);
        Same(0, seen.Lines.Count, "at rest");
        left.Observe(1, false, true, 0.004f, 0f);
        left.Observe(1, false, true, 0.008f, 0f);  // trembles
        left.Observe(1, false, true, 0.5f, 0f);
        left.Observe(1, true, true, 0.9f, 0f);
        left.Observe(1, true, true, 0.9f, 0f);
        left.Observe(1, true, true, 1f, 0f);
        left.Observe(1, false, false, 0f, 0f);
        left.Observe(3, false, false, float.NaN, 0f);
        left.Observe(3, false, false, -1f, 0.25f);
        Same(
            "257 2 0.004 0|257 3 0.5 0|257 1 0.9 0|257 3 1 0|257 0 0 0|257 4 0 0|259 3 -1 0.25",
            string.Join("|", seen.Lines), "changes");
    }

    public static void ButtonsForget()
    {
        var seen = new Sink();
        var right = new ButtonChanges(2, seen);
        right.Observe(5, true, false, 1f, 0f);
        right.Forget();
        Same(1, seen.Lines.Count, "a controller that is gone says nothing");
        right.Observe(5, true, false, 1f, 0f);
        Same("517 1 1 0|517 1 1 0", string.Join("|", seen.Lines), "back, and pressed");
    }

    public static void Lapses()
    {
        var lapse = new Lapse();
        That(!lapse.Wants(false, 0), "never seen");
        That(lapse.Wants(true, 1), "seen");
        That(lapse.Wants(false, 2), "lost: told at once");
        That(!lapse.Wants(false, Second), "and then");
        That(lapse.Wants(false, 2 + Second), "once a second");
        That(lapse.Wants(true, 3 + Second) && lapse.Wants(false, 4 + Second), "again");
    }

    public static void AdviceOnce()
    {
        var advice = new Advice("words");
        Same(null, advice.Look(false, 0), "patience");
        Same(null, advice.Look(true, 4 * Second), "it came");
        Same(null, advice.Look(false, 6 * Second), "and went");
        Same("words", advice.Look(false, 11 * Second), "told");
        Same(null, advice.Look(false, 99 * Second), "once");
    }

    private sealed class Sink : IButtonSink
    {
        public List<string> Lines { get; } = new List<string>();

        public void Button(ushort control, byte what, float x, float y) =>
            Lines.Add(FormattableString.Invariant($"{control} {what} {x} {y}"));
    }
}
