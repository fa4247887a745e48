using System;
using System.Globalization;
using System.IO;
using System.Security.Cryptography;
using System.Text;

namespace Vestibule
{
    /// <content>Pairing, key files, and the folder in which staff may lay one.</content>
    internal sealed partial class Worker
    {
        private const string WatchedName = "vestibule.json";
        private const string Scheme = "vestibule://";
        private const long PairEveryNs = 1_000 * DeviceConfig.Ms;
        private const long WatchEveryNs = 1_000 * DeviceConfig.Ms;
        private const int PairNoAnswerSends = 8;
        private const int PairSends = 660; // a code lives 10 minutes

        private Pairing _pairing;
        private string _pairHost = "";
        private int _pairPort;
        private string _pairName = "";
        private int _pairSends;
        private long _pairNs;
        private bool _hasPaired;
        private long _watchNs;
        private long _watchedBytes = -1;

        private void Pair(string text, string name)
        {
            _hasPaired = true;
            var host = Host(_identity == null ? "" : _identity.Host);
            var port = Port(_identity == null ? 0 : _identity.Port);
            text = text.Trim();
            if (text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) && !SplitUri(text.Substring(Scheme.Length), out host, out port, out text))
            {
                Trouble("This is no pairing address. It looks like vestibule://HOST:PORT/CODE; scan or type it again.");
                return;
            }

            var code = Pairing.PlainCode(text);
            name = name.Length > 0 ? name : _options.Name;
            if (code == null)
            {
                Trouble("A pairing code has 26 letters A-Z and digits 2-7. Type it again as it is shown.");
            }
            else if (!Names.IsDevice(name))
            {
                Trouble("The device's name is longer than 64 bytes or has control characters. Choose a shorter one.");
            }
            else
            {
                BeginPairing(code, host, port, name);
            }
        }

        private void BeginPairing(string code, string host, int port, string name)
        {
            _hasPaired = true;
            if (_pairing != null && _pairing.Code == code && _pairHost == host && _pairPort == port && _pairName == name)
            {
                return; // the code may be spent by now, and then only the same PAIR is answered
            }

            _pairing?.Dispose();
            var nonce = new byte[Sizes.Nonce];
            RandomNumberGenerator.Fill(nonce);
            _pairing = new Pairing(code, nonce, name, Now());
            _pairHost = host;
            _pairPort = port;
            _pairName = name;
            _pairSends = 0;
            _pairUnreachable = null;
            _pairNs = Now();
            _pairLine.Open(host, port);
        }

        private void PairOnce()
        {
            var nowNs = Now();
            if (_pairing == null)
            {
                return;
            }

            for (var bytes = _pairLine.Inbox.Take(_packet, out _); bytes >= 0; bytes = _pairLine.Inbox.Take(_packet, out _))
            {
                var wrong = _pairing.Open(_packet, bytes, out var device, out var key, out var home);
                if (wrong == null)
                {
                    var identity = new Identity
                    {
                        Device = device, Key = key, Home = home, Name = _pairName, Host = _pairHost, Port = _pairPort,
                    };
                    if (!Become(identity))
                    {
                        break; // why was told; PAIRED comes again
                    }

                    EndPairing();
                    Show();
                    return;
                }

                _machine?.Account.Ignored.Add(wrong, 1);
            }

            if (nowNs < _pairNs)
            {
                return;
            }

            if (++_pairSends > PairSends)
            {
                EndPairing();
                Trouble("The pairing had no answer for 11 minutes and has ended. Ask staff for a new code.");
                Show();
                return;
            }

            if (_pairSends % 15 == 0)
            {
                _pairLine.Open(_pairHost, _pairPort); // the way may have changed since
            }

            _pairLine.Send(_pairing.Packet, _pairing.Packet.Length);
            _pairNs = nowNs + PairEveryNs;
            Show();
        }

        private void EndPairing()
        {
            _pairing.Dispose();
            _pairing = null;
            _pairLine.Dispose();
        }

        /// <summary>The device is another one from now on; what the one before holds stays in no ring of this run.</summary>
        /// <returns>Whether it could be kept; if not, nothing has changed.</returns>
        private bool Become(Identity identity)
        {
            if (!TrySave(identity))
            {
                return false;
            }

            _machine?.Cease("end", Now());
            _identity = identity;
            _isSavedAsAsked = true;
            Shared.Tell(new ClientEvent(ClientEventKind.Paired, device: identity.Device));
            MakeMachine();
            return true;
        }

        /// <summary>Takes a pair file or a key file; null, or words for what is wrong.</summary>
        private string TakeFile(string path)
        {
            string text;
            try
            {
                if (new FileInfo(path).Length > Identity.MaxFileBytes)
                {
                    return path + " is too long for a pair file or a key file. Give another one.";
                }

                text = File.ReadAllText(path, new UTF8Encoding(false, true));
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException || error is ArgumentException || error is NotSupportedException)
            {
                return "The file cannot be read: " + error.Message;
            }

            var json = FlatJson.Parse(text);
            if (json != null && json.Text("code").Length > 0)
            {
                var code = Pairing.PlainCode(json.Text("code"));
                var port = (int)(json.Number("port", ushort.MaxValue) ?? 0);
                if (code == null)
                {
                    return path + " holds no pairing code of 26 characters. Write a new one: vestibule pair --out FILE.";
                }

                BeginPairing(code, Host(json.Text("host")), Port(port), _options.Name);
                return null;
            }

            var given = json == null ? null : Identity.Of(json);
            if (given == null)
            {
                return path + " is no pair file and no key file. Write one: vestibule device add --out FILE.";
            }

            return TakeIdentity(given) ? null : path + " holds a key that could not be kept on this device. Give it again.";
        }

        private bool TakeIdentity(Identity given)
        {
            if (_identity == null || _identity.Device != given.Device)
            {
                return Become(given);
            }

            // The counter belongs to the device and not to its key: whoever counted further is right.
            var isNewKey = !given.Key.AsSpan().SequenceEqual(_identity.Key);
            var merged = new Identity
            {
                Device = given.Device,
                Key = given.Key,
                Home = given.Home,
                Name = _identity.Name,
                Host = given.Host.Length > 0 ? given.Host : _identity.Host,
                Port = given.Port > 0 ? given.Port : _identity.Port,
                HelloSeq = given.NextHello > _identity.NextHello ? given.HelloSeq : _identity.HelloSeq,
            };
            if (!TrySave(merged))
            {
                return false;
            }

            _identity = merged;
            _isSavedAsAsked = true;
            Reopen();
            if (isNewKey)
            {
                _machine.Rekey(given.Key, _identity.NextHello, Now());
            }

            Shared.Tell(new ClientEvent(ClientEventKind.Paired, device: given.Device));
            return true;
        }

        private void WatchOnce()
        {
            var nowNs = Now();
            if (_options.WatchFolder.Length == 0 || nowNs < _watchNs)
            {
                return;
            }

            _watchNs = nowNs + WatchEveryNs;
            var path = Path.Combine(_options.WatchFolder, WatchedName);
            if (!File.Exists(path))
            {
                _watchedBytes = -1;
                return;
            }

            var bytes = new FileInfo(path).Length;
            if (bytes != _watchedBytes)
            {
                _watchedBytes = bytes; // somebody may still be writing it: it is taken once it has stood still
                return;
            }

            _watchedBytes = -1;
            var wrong = TakeFile(path);
            try
            {
                if (wrong == null)
                {
                    File.Delete(path);
                    return;
                }

                File.Delete(path + ".bad");
                File.Move(path, path + ".bad");
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                wrong = (wrong ?? "It was taken.") + " It cannot be removed: " + error.Message;
                _watchNs = long.MaxValue; // else it would be taken again each second
            }

            Trouble(wrong);
        }

        private static bool SplitUri(string rest, out string host, out int port, out string code)
        {
            host = "";
            port = 0;
            code = "";
            var slash = rest.IndexOf('/');
            var colon = slash < 0 ? -1 : rest.LastIndexOf(':', slash);
            if (colon <= 0)
            {
                return false;
            }

            host = rest.Substring(0, colon).Trim('[', ']');
            code = rest.Substring(slash + 1).Trim('/');
            return int.TryParse(
                       rest.Substring(colon + 1, slash - colon - 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) &&
                   port > 0 && port <= ushort.MaxValue;
        }
    }
}
