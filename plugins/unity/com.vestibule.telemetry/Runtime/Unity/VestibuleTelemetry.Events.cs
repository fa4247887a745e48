using System;
using UnityEngine;

namespace Vestibule.Unity
{
    /// <content>What the client and the gateway say, carried out on the main thread.</content>
    public sealed partial class VestibuleTelemetry
    {
        private void Happened(ClientEvent e)
        {
            switch (e.Kind)
            {
                case ClientEventKind.State:
                    Contain(StateChanged, e.State);
                    break;
                case ClientEventKind.Paired:
                    Contain(Paired, e.Device);
                    break;
                case ClientEventKind.Trouble:
                    Tell("Vestibule: " + e.Words);
                    break;
                case ClientEventKind.Command:
                    Obey(e.Command);
                    break;
            }
        }

        // The limits of SPEC, "Commands" were enforced by the client: what comes here is within them.
        private void Obey(ClientCommand command)
        {
            switch (command.Verb)
            {
                case "haptic":
                    PlayHaptic(
                        command.Target, (float)command.Amplitude, command.DurationMs / 1000f, (float)command.FrequencyHz);
                    break;
                case "text":
                    Contain(TextReceived, command.Text);
                    break;
                case "marker":
                    Marker(command.Code, command.Text);
                    Contain(MarkerReceived, command.Code, command.Text);
                    break;
            }
        }

        // A listener that throws must not cost the other events of the frame.
        private static void Contain<T>(Action<T> listeners, T value)
        {
            try
            {
                listeners?.Invoke(value);
            }
            catch (Exception error)
            {
                Debug.LogException(error);
            }
        }

        private static void Contain<T, U>(Action<T, U> listeners, T first, U second)
        {
            try
            {
                listeners?.Invoke(first, second);
            }
            catch (Exception error)
            {
                Debug.LogException(error);
            }
        }
    }
}
