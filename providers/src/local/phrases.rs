//! Every sentence of the provider's own, in each language. Short: the telephone is slow.
use super::Language;

/// What the provider says of its own; `{}` stands for what is filled in.
pub(super) struct Phrases {
    pub(super) greeting: &'static str,
    pub(super) disclosure_words: &'static str,
    pub(super) disclosure_tones: &'static str,
    pub(super) assistant_gone: &'static str,
    pub(super) no_voice: &'static str,
    pub(super) ask: &'static str,
    pub(super) offer: &'static str,
    pub(super) offer_transfers: &'static str,
    pub(super) nothing_registered: &'static str,
    pub(super) unknown: &'static str,
    pub(super) not_understood: &'static str,
    pub(super) nothing_to_repeat: &'static str,
    pub(super) thanks: &'static str,
    pub(super) hello: &'static str,
    pub(super) farewell: &'static str,
    pub(super) transferring: &'static str,
    pub(super) moment: &'static str,
    pub(super) putting_through: &'static str,
    pub(super) unknown_target: &'static str,
    pub(super) no_targets: &'static str,
    pub(super) transfer_failed: &'static str,
    pub(super) transfer_failed_because: &'static str,
    pub(super) tool_refused: &'static str,
    pub(super) slow_ears: &'static str,
    pub(super) say_goodbye: &'static str,
    pub(super) say_goodbye_time: &'static str,
    pub(super) parrot_invitation: &'static str,
    pub(super) parrot: &'static str,
    pub(super) parrot_shown: &'static str,
    pub(super) key_answer: &'static str,
    pub(super) key_transfer: &'static str,
    pub(super) key_repeat: &'static str,
    pub(super) key_all: &'static str,
    pub(super) unknown_key: &'static str,
    pub(super) and: &'static str,
    /// Words in an English reason, and what they are called here.
    pub(super) reasons: &'static [(&'static str, &'static str)],
}

/// The phrases of a language.
pub(super) fn phrases(language: Language) -> &'static Phrases {
    match language {
        Language::PtBr => &PT,
        Language::EnUs => &EN,
    }
}

/// What this provider is, honestly, for documents, health pages and records: `ears` and `voice` are the engines' names.
pub fn wording(language: Language, ears: Option<&str>, voice: &str) -> String {
    match (language, ears) {
        (Language::PtBr, Some(ears)) => format!(
            "Demonstração local: reconhecimento {ears}, voz {voice}, respostas só a partir das perguntas e respostas \
             cadastradas — sem modelo de linguagem e sem serviços externos. Erra nomes, números e áudio ruidoso; não use \
             para clientes reais."
        ),
        (Language::PtBr, None) => format!(
            "Demonstração local sem reconhecimento de fala: menu por teclas, repetição do que foi dito, voz {voice} — sem \
             modelo de linguagem e sem serviços externos. Não use para clientes reais."
        ),
        (Language::EnUs, Some(ears)) => format!(
            "Local demonstration: {ears} recognition, {voice} voice, answers only from the registered questions and \
             answers — no language model and no outside services. It gets names, numbers and noisy audio wrong; not for \
             real customers."
        ),
        (Language::EnUs, None) => format!(
            "Local demonstration without speech recognition: a touch-tone menu and play-back of what was said, {voice} \
             voice — no language model and no outside services. Not for real customers."
        ),
    }
}

/// Puts `value` where `{}` stands.
pub(super) fn fill(phrase: &str, value: &str) -> String {
    phrase.replacen("{}", value, 1)
}

/// "a, b e c".
pub(super) fn list(items: &[String], and: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
    }
}

static PT: Phrases = Phrases {
    greeting: "Olá!",
    disclosure_words: "Demonstração automática: só respondo o que está cadastrado.",
    disclosure_tones: "Atendimento automático de demonstração, sem reconhecimento de fala.",
    assistant_gone: "Nossa assistente não está disponível no momento.",
    no_voice: "",
    ask: "Em que posso ajudar?",
    offer: "Pode me perguntar, por exemplo:",
    offer_transfers: "Também posso transferir para: {}.",
    nothing_registered: "Ainda não há respostas cadastradas.",
    unknown: "Desculpe, isso eu não sei responder.",
    not_understood: "Desculpe, não entendi. Pode repetir?",
    nothing_to_repeat: "Ainda não respondi nada.",
    thanks: "De nada. Posso ajudar em algo mais?",
    hello: "Olá! Em que posso ajudar?",
    farewell: "Obrigado pela ligação. Até logo!",
    transferring: "Certo, vou transferir para {}. Um momento, por favor.",
    moment: "Um momento, por favor.",
    putting_through: "Vou transferir a sua ligação.",
    unknown_target: "Não encontrei essa pessoa ou setor.",
    no_targets: "Desculpe, não tenho para quem transferir.",
    transfer_failed: "Não consegui transferir para {}. Posso ajudar em algo mais?",
    transfer_failed_because: "Não consegui transferir para {}: {}. Posso ajudar em algo mais?",
    tool_refused: "Desculpe, isso não é possível agora. Posso ajudar em algo mais?",
    slow_ears: "Desculpe, demorei demais para entender. Pode repetir?",
    say_goodbye: "Precisamos encerrar a ligação. Obrigado, até logo!",
    say_goodbye_time: "O tempo desta ligação terminou. Obrigado, até logo!",
    parrot_invitation: "Fale alguma coisa e eu repito a sua gravação.",
    parrot: "Você disse:",
    parrot_shown: "(reprodução da fala de quem ligou)",
    key_answer: "Tecle {} para ouvir: {}.",
    key_transfer: "Tecle {} para falar com {}.",
    key_repeat: "Tecle zero para ouvir de novo.",
    key_all: "Tecle zero para ouvir todas as opções.",
    unknown_key: "Essa opção não existe.",
    and: "e",
    reasons: &[
        ("busy", "está ocupado"),
        ("no answer", "ninguém atendeu"),
        ("nobody answered", "ninguém atendeu"),
        ("not answer", "ninguém atendeu"),
        ("timeout", "ninguém atendeu"),
        ("declined", "a chamada foi recusada"),
        ("refused", "a chamada foi recusada"),
        ("not found", "o ramal não existe"),
        ("not exist", "o ramal não existe"),
        ("unavailable", "está indisponível"),
        ("not registered", "está indisponível"),
    ],
};

static EN: Phrases = Phrases {
    greeting: "Hello!",
    disclosure_words: "This is an automatic demonstration: I only answer what is registered.",
    disclosure_tones: "This is an automatic demonstration without speech recognition.",
    assistant_gone: "Our assistant is not available at the moment.",
    no_voice: "This server has no voice for the language of this secretary, so I speak English.",
    ask: "How can I help you?",
    offer: "You can ask me, for example:",
    offer_transfers: "I can also transfer you to: {}.",
    nothing_registered: "No answers have been registered yet.",
    unknown: "Sorry, I do not know that.",
    not_understood: "Sorry, I did not understand. Could you say that again?",
    nothing_to_repeat: "I have not answered anything yet.",
    thanks: "You are welcome. Can I help you with anything else?",
    hello: "Hello! How can I help you?",
    farewell: "Thank you for calling. Goodbye!",
    transferring: "All right, I am transferring you to {}. One moment, please.",
    moment: "One moment, please.",
    putting_through: "I will put you through to somebody.",
    unknown_target: "I do not know that person or department.",
    no_targets: "Sorry, there is nobody I can transfer you to.",
    transfer_failed: "I could not transfer you to {}. Can I help you with anything else?",
    transfer_failed_because: "I could not transfer you to {}: {}. Can I help you with anything else?",
    tool_refused: "Sorry, that is not possible now. Can I help you with anything else?",
    slow_ears: "Sorry, I took too long to understand. Could you say that again?",
    say_goodbye: "We have to end this call. Thank you, goodbye!",
    say_goodbye_time: "The time for this call is over. Thank you, goodbye!",
    parrot_invitation: "Say something, and I will play it back to you.",
    parrot: "You said:",
    parrot_shown: "(play-back of what the caller said)",
    key_answer: "Press {} to hear: {}.",
    key_transfer: "Press {} to talk to {}.",
    key_repeat: "Press zero to hear this again.",
    key_all: "Press zero to hear all options.",
    unknown_key: "There is no such option.",
    and: "and",
    reasons: &[
        ("busy", "the line is busy"),
        ("no answer", "nobody answered"),
        ("nobody answered", "nobody answered"),
        ("not answer", "nobody answered"),
        ("timeout", "nobody answered"),
        ("declined", "the call was declined"),
        ("refused", "the call was refused"),
        ("not found", "the extension does not exist"),
        ("not exist", "the extension does not exist"),
        ("unavailable", "nobody is available"),
        ("not registered", "nobody is available"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_well() {
        let items = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (given, want) in [("", ""), ("a", "a"), ("a b", "a e b"), ("a b c", "a, b e c")] {
            assert_eq!(list(&items(given), "e"), want);
        }
    }

    #[test]
    fn the_wording_names_the_engines() {
        let text = wording(Language::PtBr, Some("Whisper tiny"), "RHVoice");
        assert!(text.contains("reconhecimento Whisper tiny, voz RHVoice") && text.contains("sem modelo de linguagem"));
        assert!(wording(Language::EnUs, None, "flite").contains("without speech recognition"));
    }
}
