//! What callers of any reception say besides questions: decided by fixed phrases, before the registered answers.
use super::{Language, TransferTarget, menu, text};

/// More words than this are a question, not a greeting, a thank-you or the bare name of a department.
const FEW_WORDS: usize = 4;
/// Words this alike are the same, misheard.
const ALIKE: f32 = 0.75;
/// Shorter words are compared exactly.
const SHORTEST_FUZZY: usize = 5;

/// What a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// To be put through to this target.
    Transfer(usize),
    /// To be put through to somebody.
    TransferToAnybody,
    /// To be put through to somebody we do not know; or something that only sounds like it.
    TransferToUnknown,
    /// To hear the last answer again.
    Repeat,
    /// To end the call.
    Goodbye,
    /// To thank.
    Thanks,
    /// To know what can be asked.
    Help,
    /// To know who or what is speaking.
    WhoAreYou,
    /// To greet.
    Greeting,
    /// This menu key, said instead of pressed.
    Key(char),
    /// Something else: look in the registered answers.
    Question,
}

/// The intent of folded `words`.
pub(super) fn intent(words: &[String], transfers: &[TransferTarget], language: Language) -> Intent {
    let lists = lists(language);
    let padded = text::padded(words);
    let holds = |phrases: &[&str]| phrases.iter().any(|phrase| padded.contains(&format!(" {phrase} ")));
    let whole = courteous(words, lists);
    let is = |phrases: &[&str]| phrases.contains(&whole.as_str());
    let few = words.len() <= FEW_WORDS;
    if let Some(transfer) = transfer(words, &padded, transfers, lists) {
        return transfer;
    }
    if let Some(key) = key(words, lists) {
        return Intent::Key(key);
    }
    // What decides is said at the end: "obrigado, tchau" is a goodbye.
    if holds(lists.goodbye) || is(lists.whole_goodbye) {
        return Intent::Goodbye;
    }
    if holds(lists.repeat) || is(lists.whole_repeat) {
        return Intent::Repeat;
    }
    if holds(lists.who) {
        return Intent::WhoAreYou;
    }
    if holds(lists.help) || is(lists.whole_help) {
        return Intent::Help;
    }
    if few && holds(lists.thanks) {
        return Intent::Thanks;
    }
    if few && holds(lists.greeting) && words.iter().all(|word| lists.greeting_words.contains(&word.as_str())) {
        return Intent::Greeting;
    }
    Intent::Question
}

/// The words without "please".
fn courteous(words: &[String], lists: &Lists) -> String {
    text::padded(words).replace(lists.please, " ").trim().to_owned()
}

fn transfer(words: &[String], padded: &str, transfers: &[TransferTarget], lists: &Lists) -> Option<Intent> {
    let holds = |phrases: &[&str]| phrases.iter().any(|phrase| padded.contains(&format!(" {phrase} ")));
    if holds(lists.refuses) {
        return None;
    }
    let named = transfers.iter().position(|target| {
        std::iter::once(&target.name).chain(&target.aliases).any(|name| names(words, &text::words(name)))
    });
    let asks = holds(lists.transfer);
    match named {
        Some(target) if asks || words.len() <= FEW_WORDS => Some(Intent::Transfer(target)),
        _ if holds(lists.anybody) && (asks || words.len() <= FEW_WORDS) => Some(Intent::TransferToAnybody),
        _ if asks => Some(Intent::TransferToUnknown),
        _ => None,
    }
}

/// Whether a name stands in what was said, misheard letters forgiven.
fn names(words: &[String], name: &[String]) -> bool {
    let alike = |(said, meant): (&String, &String)| {
        said == meant || (meant.len() >= SHORTEST_FUZZY && text::likeness(said, meant) >= ALIKE)
    };
    !name.is_empty() && words.windows(name.len()).any(|window| window.iter().zip(name).all(alike))
}

/// A menu key said alone: "dois", "opção dois", "press two".
fn key(words: &[String], lists: &Lists) -> Option<char> {
    let meaningful: Vec<_> = words.iter().filter(|word| !lists.key_words.contains(&word.as_str())).collect();
    let [word] = meaningful.as_slice() else { return None };
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (Some(digit), None) if digit.is_ascii_digit() => Some(digit),
        _ => {
            let index = lists.digits.iter().position(|names| names.contains(&word.as_str()))?;
            u32::try_from(index).ok().and_then(|index| char::from_digit(index, 10)).or(Some(menu::REPEAT))
        }
    }
}

struct Lists {
    please: &'static str,
    transfer: &'static [&'static str],
    anybody: &'static [&'static str],
    refuses: &'static [&'static str],
    goodbye: &'static [&'static str],
    whole_goodbye: &'static [&'static str],
    repeat: &'static [&'static str],
    whole_repeat: &'static [&'static str],
    who: &'static [&'static str],
    help: &'static [&'static str],
    whole_help: &'static [&'static str],
    thanks: &'static [&'static str],
    greeting: &'static [&'static str],
    greeting_words: &'static [&'static str],
    key_words: &'static [&'static str],
    digits: [&'static [&'static str]; 10],
}

static PT: Lists = Lists {
    please: " por favor ",
    transfer: &[
        "transfere",
        "transferir",
        "transfira",
        "transferencia",
        "transferi",
        "falar com",
        "fala com",
        "falo com",
        "passar para",
        "passa para",
        "passa pra",
        "passar pra",
        "passe para",
        "me passa o",
        "me passa a",
        "ligar para",
        "me liga com",
        "conversar com",
        "quero o setor",
        "encaminha",
        "encaminhar",
    ],
    anybody: &[
        "atendente",
        "atendentes",
        "humano",
        "humana",
        "pessoa",
        "pessoas",
        "alguem",
        "recepcionista",
        "secretaria",
        "operador",
        "operadora",
        "gente de verdade",
        "funcionario",
    ],
    refuses: &[
        "nao quero falar",
        "nao precisa transferir",
        "nao quero ser",
        "nao quero transferencia",
        "nao transfere",
    ],
    goodbye: &[
        "tchau",
        "adeus",
        "ate logo",
        "ate mais",
        "ate breve",
        "era so isso",
        "e so isso",
        "so isso mesmo",
        "pode desligar",
        "vou desligar",
        "mais nada",
        "nao preciso de mais nada",
    ],
    whole_goodbye: &["so isso", "nao obrigado", "nao obrigada", "obrigado tchau", "nada mais"],
    repeat: &[
        "pode repetir",
        "repete",
        "repita",
        "repetir",
        "nao ouvi",
        "nao escutei",
        "nao entendi",
        "fala de novo",
        "de novo por favor",
        "outra vez",
        "mais uma vez",
    ],
    whole_repeat: &["como", "como e", "de novo", "o que", "o que voce disse"],
    who: &[
        "quem e voce",
        "quem esta falando",
        "quem fala",
        "voce e um robo",
        "voce e robo",
        "e um robo",
        "e uma maquina",
        "e uma gravacao",
        "voce e humano",
        "voce e humana",
        "estou falando com quem",
        "inteligencia artificial",
    ],
    help: &[
        "o que voce faz",
        "o que voce sabe",
        "o que voce pode",
        "quais opcoes",
        "quais as opcoes",
        "quais sao as opcoes",
        "me ajuda",
        "preciso de ajuda",
        "pode me ajudar",
        "com o que voce",
    ],
    whole_help: &["ajuda", "opcoes", "menu"],
    thanks: &["obrigado", "obrigada", "valeu", "agradeco", "brigado", "brigada"],
    greeting: &["oi", "ola", "alo", "bom dia", "boa tarde", "boa noite", "tudo bem", "opa"],
    greeting_words: &["oi", "ola", "alo", "bom", "boa", "dia", "tarde", "noite", "tudo", "bem", "opa", "e", "ai"],
    key_words: &["opcao", "tecla", "numero", "a", "o", "digito", "quero", "para", "por", "favor"],
    digits: [
        &["zero"],
        &["um"],
        &["dois"],
        &["tres"],
        &["quatro"],
        &["cinco"],
        &["seis", "meia"],
        &["sete"],
        &["oito"],
        &["nove"],
    ],
};

static EN: Lists = Lists {
    please: " please ",
    transfer: &[
        "transfer",
        "transfer me",
        "speak to",
        "speak with",
        "talk to",
        "talk with",
        "put me through",
        "connect me",
        "pass me to",
        "get me",
        "forward me",
        "can i have the",
    ],
    anybody: &[
        "somebody",
        "someone",
        "human",
        "person",
        "people",
        "operator",
        "agent",
        "representative",
        "receptionist",
        "attendant",
        "real person",
        "anyone",
        "anybody",
    ],
    refuses: &["don t transfer", "do not transfer", "don t want to talk", "don t want to speak", "no transfer"],
    goodbye: &[
        "bye",
        "goodbye",
        "good bye",
        "bye bye",
        "see you",
        "that s all",
        "that is all",
        "that will be all",
        "hang up",
        "nothing else",
        "have a good day",
        "have a nice day",
    ],
    whole_goodbye: &["no thanks", "no thank you", "i m done", "that s it"],
    repeat: &[
        "repeat",
        "repeat that",
        "say again",
        "say that again",
        "say it again",
        "once more",
        "one more time",
        "didn t hear",
        "did not hear",
        "didn t catch",
        "didn t understand",
        "did not understand",
        "come again",
    ],
    whole_repeat: &["pardon", "sorry", "again", "what", "what did you say"],
    who: &[
        "who are you",
        "who is this",
        "who am i talking to",
        "who am i speaking to",
        "are you a robot",
        "are you a machine",
        "are you human",
        "are you a human",
        "are you real",
        "are you a person",
        "artificial intelligence",
        "is this a recording",
    ],
    help: &[
        "what can you do",
        "what can i ask",
        "what do you know",
        "what are my options",
        "what are the options",
        "help me",
        "need help",
        "can you help",
    ],
    whole_help: &["help", "options", "menu"],
    thanks: &["thanks", "thank you", "cheers"],
    greeting: &["hi", "hello", "hey", "good morning", "good afternoon", "good evening"],
    greeting_words: &["hi", "hello", "hey", "good", "morning", "afternoon", "evening", "there"],
    key_words: &["option", "key", "number", "press", "the", "please", "digit"],
    digits: [
        &["zero", "oh"],
        &["one"],
        &["two"],
        &["three"],
        &["four"],
        &["five"],
        &["six"],
        &["seven"],
        &["eight"],
        &["nine"],
    ],
};

fn lists(language: Language) -> &'static Lists {
    match language {
        Language::PtBr => &PT,
        Language::EnUs => &EN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, aliases: &[&str]) -> TransferTarget {
        TransferTarget { name: name.into(), aliases: aliases.iter().map(|&alias| alias.into()).collect() }
    }

    #[test]
    fn fixed_phrases_are_understood() {
        use Intent::*;
        let pt =
            [target("Recepção", &[]), target("Financeiro", &["cobrança", "contas a pagar"]), target("Dra. Ana", &[])];
        let en = [target("Sales", &[]), target("Support", &["technical support", "help desk"])];
        for (said, want) in [
            ("Quero falar com o financeiro.", Transfer(1)),
            ("me transfere para a cobrança por favor", Transfer(1)),
            ("Quero falar com o financero", Transfer(1)),
            ("Financeiro.", Transfer(1)),
            ("posso falar com a doutora, a Dra Ana", Transfer(2)),
            ("Quero falar com um atendente", TransferToAnybody),
            ("Atendente!", TransferToAnybody),
            ("eu queria falar com uma pessoa de verdade", TransferToAnybody),
            ("Quero falar com o Joaquim", TransferToUnknown),
            ("não quero falar com ninguém", Question),
            ("qual o valor que o financeiro me cobrou ontem", Question),
            ("Pode repetir, por favor?", Repeat),
            ("Como?", Repeat),
            ("Não entendi.", Repeat),
            ("Obrigado, tchau!", Goodbye),
            ("Não, obrigada.", Goodbye),
            ("era só isso, obrigado", Goodbye),
            ("Muito obrigado!", Thanks),
            ("Você é um robô?", WhoAreYou),
            ("O que você pode fazer?", Help),
            ("Ajuda", Help),
            ("Alô, bom dia", Greeting),
            ("Bom dia, qual o endereço?", Question),
            ("opção dois", Key('2')),
            ("3", Key('3')),
            ("um", Key('1')),
            ("Como faço para marcar?", Question),
            ("", Question),
        ] {
            assert_eq!(intent(&text::words(said), &pt, Language::PtBr), want, "{said}");
        }
        for (said, want) in [
            ("I'd like to speak to the sales department", Transfer(0)),
            ("Can you put me through to technical support?", Transfer(1)),
            ("Sales, please.", Transfer(0)),
            ("Let me talk to a human", TransferToAnybody),
            ("Operator!", TransferToAnybody),
            ("I want to talk to Bob", TransferToUnknown),
            ("Could you repeat that?", Repeat),
            ("Pardon?", Repeat),
            ("No, thank you.", Goodbye),
            ("Okay, bye!", Goodbye),
            ("Thank you so much", Thanks),
            ("Are you a robot?", WhoAreYou),
            ("What can you do?", Help),
            ("Hello there", Greeting),
            ("press two", Key('2')),
            ("What are your hours?", Question),
        ] {
            assert_eq!(intent(&text::words(said), &en, Language::EnUs), want, "{said}");
        }
    }
}
