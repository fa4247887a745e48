using System;
using System.Collections.Generic;

/// <summary>
/// The decisions of the adapter, run: each check prints `ok NAME`, and a failed one ends the program with its words.
/// </summary>
internal static class Checks
{
    public static int Main(string[] args)
    {
        if (args.Length > 0)
        {
            return AdapterRun.Live(args);
        }
        var all = new Dictionary<string, Action>
        {
            ["life_every_order"] = LifeChecks.EveryOrder,
            ["life_reasons"] = LifeChecks.Reasons,
            ["life_flicker"] = LifeChecks.Flicker,
            ["life_quit_is_the_end"] = LifeChecks.QuitIsTheEnd,
            ["guard_switches_off"] = SourceChecks.GuardSwitchesOff,
            ["guard_forgives"] = SourceChecks.GuardForgives,
            ["buttons_changes_only"] = SourceChecks.ButtonsChangesOnly,
            ["buttons_forget"] = SourceChecks.ButtonsForget,
            ["lapse"] = SourceChecks.Lapses,
            ["advice_once"] = SourceChecks.AdviceOnce,
            ["info_json"] = TextChecks.InfoJson,
            ["info_never_too_long"] = TextChecks.InfoNeverTooLong,
            ["label_wraps"] = TextChecks.LabelWraps,
            ["pose_flags"] = PoseChecks.Flags,
            ["pose_turns"] = PoseChecks.Turns,
            ["pose_repeats"] = PoseChecks.Repeats,
            ["gaze_axes"] = PoseChecks.GazeAxesOfEach,
            ["gaze_no_zero_fill"] = PoseChecks.GazeNoZeroFill,
            ["manifest"] = EditorChecks.Manifest,
            ["project"] = EditorChecks.Project,
        };
        foreach (var check in all)
        {
            check.Value();
            Console.WriteLine("ok " + check.Key);
        }
        return 0;
    }

    public static void Same<T>(T wanted, T found, string what)
    {
        if (!EqualityComparer<T>.Default.Equals(wanted, found))
        {
            throw new InvalidOperationException(what + ": wanted " + wanted + ", found " + found);
        }
    }

    public static void Near(double wanted, double found, string what)
    {
        if (!(Math.Abs(wanted - found) <= 1e-6))
        {
            throw new InvalidOperationException(what + ": wanted " + wanted + ", found " + found);
        }
    }

    public static void That(bool holds, string what) => Same(true, holds, what);
}
